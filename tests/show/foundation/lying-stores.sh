#!/usr/bin/env bash
# claim: a store that replaces, ignores If-None-Match, answers late or truncates is refused or an I/O error in each dialect, never wrong data
# timeout: 900
# programs: none
. "$RESTBLK_ROOT/tests/lib.sh"
need cargo

cd "$RESTBLK_ROOT"
# The tests run the clients over real sockets: `liars` and `proofs` against the embedded server with its quirks switched on, in
# each dialect, with objects of others beside the scratch objects; `malice` against servers that send what none should.
cargo test -p restblk-store --test store -- --nocapture liars:: malice:: proofs:: > "$WORK/tests.log" 2>&1 ||
  fail "$(grep -E -A5 'panicked|^error|^test result' "$WORK/tests.log")"
# tests that end at the same time leave their dots before each other's lines
grep -o 'liar: .*' "$WORK/tests.log" | sed 's/^liar: //' | sort > "$WORK/liars"
cut -c1-180 "$WORK/liars"
passed=$(grep -Eo '[0-9]+ passed' "$WORK/tests.log" | awk '{ sum += $1 } END { print sum + 0 }')
[ "$passed" -gt 0 ] || fail "no test ran"
for lie in 'replaces the object on a partial write: refused' 'writes a part at offset 0: refused' 'ignores If-None-Match: no exclusive create is asked of it' \
  'ignores Range: refused' 'truncates what is read: refused' 'shortens what is read and says so: refused' 'truncates what is read, once in use: an error' \
  'shortens what is read, once in use: an I/O error' 'answers reads after the time-out: ' 'carries out writes after the time-out: '; do
  for dialect in cdmi2 cdmi1 scality srb; do
    grep -q "^$dialect: $lie" "$WORK/liars" || fail "no store was seen in $dialect that $lie"
  done
done
for dialect in cdmi2 cdmi1 scality; do
  grep -q "^$dialect: grants locks and forgets them: no lock is asked of it" "$WORK/liars" || fail "no store was seen in $dialect that forgets locks"
done
figure "$(cut -d: -f2 "$WORK/liars" | sort -u | wc -l) lies in 4 dialects, none believed; nobody's object touched; $passed tests passed, 0 failed"
