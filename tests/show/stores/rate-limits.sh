#!/usr/bin/env bash
# claim: requests and bytes a second are limited per volume and per pool, with bursts, and changed while attached
# timeout: 180
. "$RESTBLK_ROOT/tests/lib.sh"
need fio jq
need_loop

start_store
start_daemon "[control]" "enabled = false"
restblk pool create main --url "$STORE_URL/cdmi/2.0.0/"
for name in a b; do
  restblk create "main/$name" 64M
  restblk attach "main/$name" --transport loop > "$WORK/$name"
done

# rate DEVICE BLOCK SECONDS MODE: what fio gets at depth 16, `requests/s bytes/s`, past the burst
rate() {
  local out
  out=$WORK/fio-$(basename "$1")
  fio --name=r --filename="$1" --direct=1 --ioengine=libaio --iodepth=16 --rw="$4" --bs="$2" --time_based --runtime="$3" --ramp_time=2 \
    --output-format=json > "$out.json" 2> "$out.log" || fail "fio: $(tail -n 3 "$out.log")"
  jq -r '.jobs[0] | "\(.read.iops + .write.iops | floor) \(.read.bw_bytes + .write.bw_bytes | floor)"' "$out.json"
}
# near WHAT WANTED FOUND: within 10 %
near() {
  awk -v w="$2" -v f="$3" 'BEGIN { exit !(f > 0.9 * w && f < 1.1 * w) }' || fail "$1: wanted about $2, found $3"
  say "$1: $3 of $2"
}
a=$(cat "$WORK/a") b=$(cat "$WORK/b")
read -r free _ < <(rate "$a" 4k 3 randread)
[ "$free" -gt 600 ] || skip "this machine does $free requests a second without a limit: too few to limit"

restblk volume limit main/a --iops 200 --iops-burst 20
read -r iops _ < <(rate "$a" 4k 5 randread)
near "requests of a volume" 200 "$iops"
read -r other _ < <(rate "$b" 4k 3 randread)
[ "$other" -gt 400 ] || fail "a volume without a limit does $other requests a second beside $free before"

say "changed while fio runs"
(sleep 3.5; restblk volume limit main/a --bandwidth 8M) &
changing=$!
read -r _ before_and_after < <(rate "$a" 64k 6 randwrite)
wait $changing
read -r _ bytes < <(rate "$a" 64k 5 randwrite)
near "bytes of a volume" $((8 << 20)) "$bytes"
[ "$before_and_after" -lt $((14 << 20)) ] || fail "while it was changed: $before_and_after bytes/s"

say "two volumes of a limited pool"
restblk volume limit main/a --none
restblk pool limit main --iops 300
rate "$a" 4k 5 randread > "$WORK/rate-a" &
first=$!
rate "$b" 4k 5 randread > "$WORK/rate-b"
wait $first
read -r of_a _ < "$WORK/rate-a"
read -r of_b _ < "$WORK/rate-b"
near "requests of a pool" 300 $((of_a + of_b))
[ "$of_a" -gt 50 ] && [ "$of_b" -gt 50 ] || fail "one volume starves: $of_a and $of_b requests/s"

restblk pool limit main --none
read -r again _ < <(rate "$a" 4k 3 randread)
[ "$again" -gt 600 ] || fail "$again requests/s after the limits were removed"
refuses -c 6 -m 'zero' restblk volume limit main/a --iops 0
refuses restblk volume limit main/a
throttled=$(curl -s --unix-socket "$WORK/run/api.sock" http://localhost/metrics | awk '/^restblk_volume_throttled_seconds_total.*"a"/ { print int($2) }')
[ "${throttled:-0}" -gt 0 ] || fail "the metric says that nobody waited"
for name in a b; do restblk detach "main/$name"; done
figure "200 requests/s: $iops; 8 MiB/s: $bytes; a pool's 300: $of_a + $of_b; without: $free, afterwards $again"
