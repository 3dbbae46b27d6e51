#!/usr/bin/env bash
# claim: three mirrors, each limited to 50 MB/s, give at least 2.7 times the throughput of one
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/mirrors.sh"
need fio jq
need_loop

each=50000000
for n in 1 2 3; do start_mirror $n "rate $each"; done
start_daemon "[control]" "enabled = false"
pool_of 1 2 3
restblk -q create main/a 256M
device=$(restblk -q attach main/a --transport loop)

# rate MODE: bytes a second of 1 MiB requests at depth 16
rate() {
  fio --name=t --filename="$device" --direct=1 --ioengine=libaio --iodepth=16 --rw="$1" --bs=1M --time_based --runtime=15 --ramp_time=3 \
    --output-format=json > "$WORK/fio.json" 2> "$WORK/fio.log" || fail "fio: $(tail -n 3 "$WORK/fio.log")"
  equal "fio's error" 0 "$(jq '.jobs[0].error' "$WORK/fio.json")"
  jq '.jobs[0] | .read.bw_bytes + .write.bw_bytes' "$WORK/fio.json"
}
said=()
for mode in write read; do
  for n in 2 3; do restblk -q mirror drain main "$(url $n)"; done
  one=$(rate $mode)
  for n in 2 3; do restblk -q mirror resume main "$(url $n)"; done
  three=$(rate $mode)
  ratio=$(awk -v a="$three" -v b="$one" 'BEGIN { printf "%.2f", a / b }')
  say "$mode: one mirror $((one / 1000000)) MB/s, three $((three / 1000000)) MB/s: $ratio"
  # more would show that the limit does not limit
  [ "$one" -le $((each * 105 / 100)) ] || fail "$mode: one mirror gave $one bytes a second, over its limit of $each"
  awk -v ratio="$ratio" 'BEGIN { exit !(ratio >= 2.7) }' || fail "$mode: three mirrors gave $ratio times as much as one"
  said+=("${mode}s $((one / 1000000)) MB/s by one, $((three / 1000000)) MB/s by three, $ratio times")
done
restblk -q detach main/a
figure "each mirror limited to 50 MB/s: ${said[0]}; ${said[1]}"
