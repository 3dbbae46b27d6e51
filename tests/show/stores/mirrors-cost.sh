#!/usr/bin/env bash
# claim: a request through the mirror layer costs at most 5 % more processor time than by the bare client, and as many are done in a second
# timeout: 900
# programs: none
. "$RESTBLK_ROOT/tests/lib.sh"
need cargo

cd "$RESTBLK_ROOT"
cargo build --quiet --release -p restblk-store --example bench
# in turns, so that what slows the machine for a while slows both
"${CARGO_TARGET_DIR:-target}/release/examples/bench" --mirrors 60 | tee "$WORK/cost"
figure "$(paste -sd ';' "$WORK/cost" | sed 's/;/; /')"
