#!/usr/bin/env bash
# The OpenAPI document that the daemon serves is valid by a validator of other people (openapi-spec-validator from PyPI, in a
# virtual environment of this script's own).
# timeout: 240
. "$RESTBLK_ROOT/tests/lib.sh"
need python3 curl jq

python3 -m venv "$WORK/venv" || fail "no virtual environment for Python (the package python3-venv)"
"$WORK/venv/bin/pip" install --quiet --disable-pip-version-check 'openapi-spec-validator>=0.7,<1' || skip "the validator cannot be installed here"
start_daemon "[control]" "enabled = false"
curl -sf --unix-socket "$WORK/run/api.sock" http://localhost/openapi.json > "$WORK/openapi.json"
"$WORK/venv/bin/openapi-spec-validator" "$WORK/openapi.json"
say "what it tells is there: every GET without parameters answers as told"
for path in $(jq -r '.paths | to_entries[] | select(.value.get and (.key | contains("{") | not)) | .key' "$WORK/openapi.json"); do
  equal "GET $path" 200 "$(curl -s -o /dev/null -w '%{http_code}' --max-time 60 --unix-socket "$WORK/run/api.sock" "http://localhost$path")"
done
equal "a path that is not there" 'not_found' "$(curl -s --unix-socket "$WORK/run/api.sock" http://localhost/v1/nothing | jq -r .kind)"
