# shellcheck shell=bash
# Azurite: Microsoft's emulator of Azure Storage, from npm. start_azurite [OPTIONS of azurite-blob…] sets AZURITE_URL, that of its one account,
# AZURITE_ACCOUNT and AZURITE_KEY_FILE; its data is in $WORK/azurite. With --cert and --key it speaks TLS, with --oauth basic it takes tokens.

install_azurite() { installed azurite-3.35.0 by_npm azurite@3.35.0; }

start_azurite() {
  install_azurite
  local scheme=http
  azurite_port=${azurite_port:-$(free_port)}
  [[ " $* " == *" --cert "* ]] && scheme=https
  AZURITE_ACCOUNT=devstoreaccount1
  AZURITE_KEY_FILE=$WORK/azurite.key
  # the key that every installation has
  echo 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==' > "$AZURITE_KEY_FILE"
  AZURITE_URL=$scheme://127.0.0.1:$azurite_port/$AZURITE_ACCOUNT
  start azurite "$SERVERS/azurite-3.35.0/node_modules/.bin/azurite-blob" --silent --disableTelemetry --location "$WORK/azurite" --blobPort "$azurite_port" "$@"
  wait_for 60 "the answer of Azurite" started_and_answers azurite "$AZURITE_URL" -k
}

azurite_hmac() {
  local key
  key=$(base64 -d < "$AZURITE_KEY_FILE" | od -An -v -tx1 | tr -d ' \n')
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64 | sed 's/+/%2B/g; s/\//%2F/g; s/=/%3D/g'
}
azurite_time() { date -u -d "$1 seconds" +%Y-%m-%dT%H:%M:%SZ; }
# azurite_sas CONTAINER PERMISSIONS [SECONDS]: a shared access signature for so long (an hour); a negative time is over.
azurite_sas() {
  local ends signature
  ends=$(azurite_time "${3:-3600}")
  signature=$(printf '%s\n' "$2" '' "$ends" "/blob/$AZURITE_ACCOUNT/$1" '' '' '' 2018-11-09 c '' '' '' '' '' '' | head -c -1 | azurite_hmac)
  echo "sv=2018-11-09&sr=c&sp=$2&se=${ends//:/%3A}&sig=$signature"
}
# One for all that the account has; with it, this Azurite sets no sizes (500).
azurite_account_sas() {
  local ends signature
  ends=$(azurite_time 3600)
  signature=$(printf '%s\n' "$AZURITE_ACCOUNT" rwdlacup b sco '' "$ends" '' '' 2018-11-09 | azurite_hmac)
  echo "sv=2018-11-09&ss=b&srt=sco&sp=rwdlacup&se=${ends//:/%3A}&sig=$signature"
}

# azurite_curl PATH [OPTIONS of curl…]: a request with all rights; the path may have a query. Fails unless it succeeds.
azurite_curl() {
  local mark='?'
  [[ $1 == *\?* ]] && mark='&'
  curl -sS -k --fail-with-body -H 'x-ms-version: 2021-08-06' "${@:2}" "$AZURITE_URL/$1$mark$(azurite_account_sas)"
}
# azurite_container NAME…
azurite_container() {
  local name
  for name; do azurite_curl "$name?restype=container" -X PUT -d '' -o "$WORK/azurite.out"; done
}
