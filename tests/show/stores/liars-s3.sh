#!/usr/bin/env bash
# claim: S3 servers that lie (several winners of one create, ignored conditions, half-written objects shown to readers) are caught when a pool is made
# timeout: 3600
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install s3s-fs s3rver s3; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
need jq curl

start_daemon "[control]" "enabled = false"
# caught NAME URL KEY SECRET: the proof finds it, the pool is refused with the reason, and with --single-host it is used for the rest alone
caught() {
  say "$1"
  ! proved "$(s3_store "$2/proof" "$3" "$4")" exclusive_create || fail "$1 was believed"
  notes+=("$1: $(jq -r '.notes[0]' "$WORK/proof")")
  jq -r '.notes[]' "$WORK/proof"
  refuses -m 'more than one may win.*single_host' restblk pool create "$1" --store s3 --url "$2/pool" --user "$3" --password-file "$WORK/$3.secret"
  equal "pools after a refusal" "$pools" "$(restblk -o json pool list | jq length)"
  restblk pool create "$1" --store s3 --url "$2/pool" --user "$3" --password-file "$WORK/$3.secret" --single-host
  pools=$((pools + 1))
  equal "conditions believed of $1" '[false]' "$(restblk -o json pool show "$1" | jq -c '[.proven.exclusive_create]')"
}
notes=() pools=0

start_s3s_fs
mkdir "$WORK/s3s/vols"
caught s3s-fs "$S3S_URL/vols" AKTEST SKTEST
start_s3rver vols
caught s3rver "$S3RVER_URL/vols" S3RVER S3RVER

figure "caught at once: $(IFS=';'; echo "${notes[*]}" | sed 's/;/; /g')"
