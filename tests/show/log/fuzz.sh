#!/usr/bin/env bash
# claim: no input makes a decoder of records, heads, segments, frames or journals panic, overflow or take memory without bound, good checksums or not
# timeout: 1800
. "$RESTBLK_ROOT/tests/lib.sh"
need g++

cd "$RESTBLK_ROOT"
cargo xtask fuzz --seconds "${FUZZ_SECONDS:-60}" > "$WORK/fuzz.txt" 2>&1 || fail "$(tail -n 30 "$WORK/fuzz.txt")"
grep '^figure: ' "$WORK/fuzz.txt" | tail -n1
