#!/usr/bin/env bash
# claim: the embedded store gives what the CDMI specification's own examples say, section by section, by curl
# timeout: 120
. "$RESTBLK_ROOT/tests/lib.sh"
need curl jq base64 cmp

start_store
bash "$RESTBLK_ROOT/tests/cdmi/run.sh" "$STORE_URL/cdmi/2.0.0/" "$WORK/store" > "$WORK/cdmi.log" 2>&1 || fail "$(grep ^FAIL "$WORK/cdmi.log")"
grep '^#' "$WORK/cdmi.log"
is_running store || fail "the store is gone"
last=$(tail -n 1 "$WORK/cdmi.log")
[ "${last%% *}" -gt 0 ] || fail "nothing was checked: $last"
figure "$(grep -c '^# [0-9]' "$WORK/cdmi.log") sections, checks: $last"
