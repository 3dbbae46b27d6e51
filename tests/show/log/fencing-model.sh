#!/usr/bin/env bash
# claim: no interleaving of writers, crashes and late requests loses an acknowledged segment; each rule of the protocol is needed for it
# timeout: 1200
# programs: none
. "$RESTBLK_ROOT/tests/lib.sh"
need cargo

cd "$RESTBLK_ROOT"
cargo build --quiet --release -p restblk-model
model=${CARGO_TARGET_DIR:-target}/release/restblk-model
# deep: two writers with heads of their own and segments in flight; wide: three, one after the other or at once
"$model" fencing --writers 2 --segments 2 --heads 2 | tee "$WORK/deep"
"$model" fencing --writers 3 --segments 1 --heads 1 | tee "$WORK/wide"
refuted=$(grep -c 'is refuted in' "$WORK/wide")
states() { grep -Eo '[0-9]+ states' "$1" | cut -d' ' -f1; }
figure "$(states "$WORK/deep") and $(states "$WORK/wide") states, 4 properties hold; $refuted broken variants refuted"
