#!/usr/bin/env bash
# claim: fio's crc32c verify is clean on a loop device, random and sequential, 4 KiB to 1 MiB, depth 32
# timeout: 1800
. "$RESTBLK_ROOT/tests/lib.sh"
need fio jq
need_loop

size=${FIO_SIZE:-128M}
start_store
start_daemon "[control]" "enabled = false"
restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
restblk -q create main/a "$size"
device=$(restblk -q attach main/a --transport loop)
runs=0 written=0 read=0
# verified BLOCK OPTIONS of fio…
verified() {
  local block=$1
  shift
  say "$block, $*"
  fio --name=v --filename="$device" --direct=1 --ioengine=libaio --iodepth=32 --bsrange="${block%-*}-${block#*-}" --size="$size" --io_size="$size" \
    --verify=crc32c --verify_fatal=1 --verify_state_save=0 --end_fsync=1 --randseed=$((runs + 1)) "$@" \
    --output-format=json > "$WORK/fio.json" 2> "$WORK/fio.log" || fail "fio, $block, $*: $(tail -n 3 "$WORK/fio.log" "$WORK/fio.json")"
  equal "fio's error, $block, $*" 0 "$(jq '.jobs[0].error' "$WORK/fio.json")"
  written=$((written + $(jq '.jobs[0].write.io_bytes' "$WORK/fio.json")))
  read=$((read + $(jq '.jobs[0].read.io_bytes' "$WORK/fio.json")))
  runs=$((runs + 1))
}
for order in randwrite write; do
  for block in 4k 64k 1m 4k-1m; do verified "$block" --rw=$order; done
done
# At offsets that are no multiple of the length, writes overlap: fio must then wait for the earlier one, because requests in
# flight at the same time have no order on any block device (without it, a plain loop device fails here too).
for block in 64k 1m; do verified "$block" --rw=randwrite --blockalign=4k --serialize_overlap=1; done
[ "$read" -gt 0 ] || fail "fio verified nothing"
restblk -q detach main/a
figure "$runs runs, $((written >> 20)) MiB written, $((read >> 20)) MiB verified, 0 errors"
