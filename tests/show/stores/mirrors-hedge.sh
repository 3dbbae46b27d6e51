#!/usr/bin/env bash
# claim: with one of three mirrors slowed to 100 ms, the 99th percentile of reads is at most twice that of a healthy run
# timeout: 400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/mirrors.sh"
need fio jq
need_loop

rounds=${HEDGE_ROUNDS:-5}
for n in 1 2 3; do start_mirror $n; done
start_daemon "[control]" "enabled = false"
pool_of 1 2 3
restblk -q create main/a 64M
device=$(restblk -q attach main/a --transport loop)
dd if=/dev/urandom of="$device" bs=1M count=64 oflag=direct status=none

# p99 SECONDS: of 4 KiB reads at depth 8, in microseconds; all reads are in it, those from before the slow mirror was known too.
p99() {
  fio --name=r --filename="$device" --direct=1 --ioengine=libaio --iodepth=8 --rw=randread --bs=4k --time_based --runtime="$1" \
    --output-format=json > "$WORK/fio.json" 2> "$WORK/fio.log" || fail "fio: $(tail -n 3 "$WORK/fio.log")"
  equal "fio's error" 0 "$(jq '.jobs[0].error' "$WORK/fio.json")"
  jq '.jobs[0].read.clat_ns.percentile."99.000000" / 1000 | floor' "$WORK/fio.json"
}
hedges() { curl -s --unix-socket "$WORK/run/api.sock" http://localhost/metrics | awk '/^restblk_pool_hedges_total/ { print $2 }'; }
p99 5 > "$WORK/warm"
healthy=() slow=() ratios=()
for ((round = 0; round < rounds; round++)); do
  healthy+=("$(p99 10)")
  mode $((round % 3 + 1)) delay 100
  slow+=("$(p99 10)")
  mode $((round % 3 + 1)) pass
  ratios+=("$(awk -v a="${slow[-1]}" -v b="${healthy[-1]}" 'BEGIN { printf "%.2f", a / b }')")
  say "healthy ${healthy[-1]} us, one slow ${slow[-1]} us: ${ratios[-1]}"
  sleep 3
done
[ "$(hedges)" -gt 0 ] || fail "no read was hedged"
middle() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }
ratio=$(middle "${ratios[@]}")
awk -v ratio="$ratio" 'BEGIN { exit !(ratio <= 2) }' || fail "the ratios of the rounds are ${ratios[*]}"
figure "p99 of 4 KiB reads at depth 8: $(middle "${healthy[@]}") us healthy, $(middle "${slow[@]}") us with one of three at 100 ms; the middle ratio of $rounds rounds is $ratio, the largest $(printf '%s\n' "${ratios[@]}" | sort -n | tail -n1); $(hedges) hedged reads"
