#!/usr/bin/env bash
# claim: the mirror layer costs at most 5 % of the bare client's requests a second and of its processor time for each
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"

bench=$RESTBLK_PROGRAMS/examples/bench
[ -x "$bench" ] || fail "$bench is not built"
"$bench" --mirrors "${COST_SECONDS:-60}" | tee "$WORK/cost.txt"
[ "${PIPESTATUS[0]}" = 0 ] || fail "it costs more than 5 %"
figure "$(sed 's/^4 KiB //' "$WORK/cost.txt" | paste -sd';' | sed 's/;/; /g')"
