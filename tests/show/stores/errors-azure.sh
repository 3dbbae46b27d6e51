#!/usr/bin/env bash
# claim: what goes wrong with Azure Blob names mirror, operation and what to do, with the documented exit code, and leaves nothing half-made
# timeout: 200
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/servers/install.sh"
. "$RESTBLK_ROOT/tests/servers/azurite.sh"
need curl jq openssl
need_root

start_azurite
azurite_container vols
start_daemon "[control]" "enabled = false"
checks=0
everything() { azurite_curl 'vols?restype=container&comp=list&include=uncommittedblobs,snapshots' | grep -o '<Name>[^<]*' | sort; }
pools() { restblk -o json pool list | jq -c 'map(.spec)'; }
# gives STATUS REGEX ARGUMENTS of restblk…: refused so, with a message that names the mirror; the container and the pools stay as they are.
gives() {
  local status=$1 regex=$2 before said
  shift 2
  before=$(everything; pools)
  refuses -c "$status" -m "$regex" restblk "$@"
  said=$(restblk "$@" 2>&1) || true
  [[ $said == *127.0.0.1:$azurite_port* ]] || fail "the mirror is not named: $said"
  [[ $said != *sig=* && $said != *"$(cut -c1-20 "$AZURITE_KEY_FILE")"* ]] || fail "a secret is shown: $said"
  equal "what is on the store, and the pools" "$before" "$(everything; pools)"
  say "$status: $said"
  checks=$((checks + 1))
}
create() { gives "$1" "$2" pool create p --store azure --url "$AZURITE_URL/${3:-vols}" "${@:4}"; }

say "credentials"
head -c 64 /dev/urandom | base64 -w0 > "$WORK/wrong.key"
create 7 "not allowed|not accepted.*$WORK/wrong.key" vols --user "$AZURITE_ACCOUNT" --password-file "$WORK/wrong.key"
azurite_sas vols racwdl -60 > "$WORK/old.sas"
create 7 "signature in $WORK/old.sas ends 20" vols --password-file "$WORK/old.sas"
azurite_sas vols rl > "$WORK/read.sas"
create 7 "no right to do it.*sp=racwdl" vols --password-file "$WORK/read.sas"
create 7 "there are no credentials" vols
echo 'not base64!' > "$WORK/bad.key"
refuses -c 6 -m 'no base64' restblk pool create p --store azure --url "$AZURITE_URL/vols" --user "$AZURITE_ACCOUNT" --password-file "$WORK/bad.key"

say "places"
key=(--user "$AZURITE_ACCOUNT" --password-file "$AZURITE_KEY_FILE")
create 6 'there is no container .*/nowhere.*create it' nowhere "${key[@]}"
refuses -c 6 -m 'names no container' restblk pool create p --store azure --url "$AZURITE_URL" "${key[@]}"
refuses -c 6 -m 'acount.*no setting' restblk pool create p --store azure --url "$AZURITE_URL/vols" "${key[@]}" --set acount=x

say "volumes"
restblk pool create main --store azure --url "$AZURITE_URL/vols" "${key[@]}"
gives 6 'at most .*8 TiB' create main/a 9T
azurite_curl vols/theirs -X PUT -H 'x-ms-blob-type: BlockBlob' --data-binary @"$RESTBLK_ROOT/README.md" -o "$WORK/out"
gives 11 'never changed in place' volume adopt main/theirs
refuses -c 4 -m 'has a file of that name' restblk create main/theirs 1M
restblk create main/a 16M
# another program's lease keeps everybody else out
azurite_curl 'vols/a?comp=lease' -X PUT -d '' -H 'x-ms-lease-action: acquire' -H 'x-ms-lease-duration: -1' -o "$WORK/out"
gives 5 'lease.*force' attach main/a --transport loop
equal "its holder" null "$(restblk -o json show main/a | jq .attached_by)"

say "no answer"
stop azurite
restblk pool delete main
refuses -c 8 -m "127.0.0.1:$azurite_port" restblk pool create p --store azure --url "$AZURITE_URL/vols" "${key[@]}" --on-outage fail-after=2
figure "$checks refusals, each with server, operation and what to do; nothing half-made, no secret shown"
