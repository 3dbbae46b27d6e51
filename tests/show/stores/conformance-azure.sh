#!/usr/bin/env bash
# claim: the Azure Blob client passes the stores' suite against Azurite: by the account's key, behind mirrors, by SAS and by tokens over TLS
# timeout: 1500
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/servers/install.sh"
. "$RESTBLK_ROOT/tests/servers/azurite.sh"
need cargo curl openssl python3
cd "$RESTBLK_ROOT"

# suite NAME FILTER: the tests of this name, each of which needs the server of $RESTBLK_AZURE_URL; adds to $passed
passed=0
suite() {
  local log=$WORK/$1.log found
  say "$1: $2"
  if cargo nextest --version > /dev/null 2>&1; then
    cargo nextest run -p restblk-store --run-ignored only -E "test(/^azure::$2/)" --no-fail-fast --no-capture > "$log" 2>&1 || fail "$(grep -E 'FAIL|panicked|error|failed to' -A2 "$log" | head -n 40)"
  else
    cargo test -p restblk-store --test store -- --ignored --nocapture "azure::$2" > "$log" 2>&1 || fail "$(grep -E 'FAILED|panicked|error' -A2 "$log" | head -n 40)"
  fi
  found=$(grep -Eo '[0-9]+ passed' "$log" | tail -n 1 | cut -d' ' -f1)
  [ "${found:-0}" -gt 0 ] || fail "no test ran: $2"
  passed=$((passed + found))
}

start_azurite
azurite_container vols
export RESTBLK_AZURE_URL=$AZURITE_URL/vols/folder RESTBLK_AZURE_ACCOUNT=$AZURITE_ACCOUNT RESTBLK_AZURE_KEY_FILE=$AZURITE_KEY_FILE
suite key 'azure_'
grep -h '^proved: ' "$WORK/key.log" | head -n 1 || fail "the proof was not told"

azurite_sas vols racwdl > "$WORK/sas"
azurite_sas vols racwdl -60 > "$WORK/sas-old"
azurite_sas vols rl > "$WORK/sas-read"
export RESTBLK_AZURE_SAS_FILE=$WORK/sas RESTBLK_AZURE_OLD_SAS_FILE=$WORK/sas-old RESTBLK_AZURE_READ_SAS_FILE=$WORK/sas-read
suite sas 'sas_'
stop azurite

# Azurite takes tokens over TLS alone, and any that looks like one of Entra ID; who hands them out is a stand-in.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$WORK/tls.key" -out "$WORK/tls.crt" -days 2 -subj /CN=azurite \
  -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:127.0.0.1 2> "$WORK/openssl.log" || fail "$(cat "$WORK/openssl.log")"
start_azurite --cert "$WORK/tls.crt" --key "$WORK/tls.key" --oauth basic
identity_port=$(free_port)
start identity python3 "$RESTBLK_ROOT/tests/servers/entra.py" "$identity_port"
wait_for 20 "the identity service" started_and_answers identity "http://127.0.0.1:$identity_port/"
export RESTBLK_AZURE_URL=$AZURITE_URL/vols RESTBLK_AZURE_CA_FILE=$WORK/tls.crt RESTBLK_ENTRA_URL=http://127.0.0.1:$identity_port
suite token 'token_'
figure "$passed tests passed, 0 failed; $(basename "$SERVERS"/azurite-3*/)"
