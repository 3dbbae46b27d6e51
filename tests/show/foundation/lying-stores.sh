#!/usr/bin/env bash
# claim: a store that replaces, ignores If-None-Match, answers late or truncates is refused or an I/O error, never wrong data
# timeout: 900
. "$RESTBLK_ROOT/tests/lib.sh"
need cargo

cd "$RESTBLK_ROOT"
# the tests run against the embedded server over real sockets, in each dialect, with the server's quirks switched on
if cargo nextest --version > /dev/null 2>&1; then
  cargo nextest run -p restblk-store --no-fail-fast > "$WORK/tests.log" 2>&1 || fail "$(grep -E 'FAIL|error' "$WORK/tests.log")"
  passed=$(grep -Eo '[0-9]+ passed' "$WORK/tests.log" | tail -n 1 | cut -d' ' -f1)
else
  cargo test -p restblk-store --tests > "$WORK/tests.log" 2>&1 || fail "$(grep -E 'FAILED|panicked|error' "$WORK/tests.log")"
  passed=$(grep -Eo '[0-9]+ passed' "$WORK/tests.log" | awk '{ sum += $1 } END { print sum + 0 }')
fi
[ "${passed:-0}" -gt 0 ] || fail "no test ran"
figure "$passed tests of the clients against honest and lying stores passed, 0 failed"
