#!/usr/bin/env bash
# claim: the log layout's engine holds under a failing store, crashes and takeovers at any moment, with clones that are written, flattened and deleted in any order, by seed; each of twenty deliberate defects is found
# timeout: 7200
# programs: none
. "$RESTBLK_ROOT/tests/lib.sh"
need cargo

# SEEDS=… for another number, SEED=… for the first
cd "$RESTBLK_ROOT"
: "${SEED:=1000}" "${SEEDS:=10000}"
simulate() { cargo test --quiet --release -p restblk-log --lib "sim_tests::$1" -- --nocapture --exact; }
cargo test --quiet --release -p restblk-log --lib --no-run
simulate every_defect_is_found > "$WORK/defects" 2>&1 || fail "$(tail -n 20 "$WORK/defects")"
grep 'found by seed' "$WORK/defects"
# one process a core
cores=$(nproc) from=$(elapsed_ms)
each=$(((SEEDS + cores - 1) / cores))
for core in $(seq 0 $((cores - 1))); do
  SEED=$((SEED + core * each)) SEEDS=$each simulate seeds_hold > "$WORK/seeds-$core" 2>&1 &
done
for job in $(jobs -p); do wait "$job" || failed=1; done
[ -z "${failed:-}" ] || fail "$(grep -h -A5 'fails\|panicked' "$WORK"/seeds-* | head -n 20)"
took=$((($(elapsed_ms) - from) / 1000))
figure "$((each * cores)) seeds of 300 steps clean in $took s ($((each * cores / (took + 1))) a second); $(grep -c 'found by seed' "$WORK/defects") of 20 defects found"
