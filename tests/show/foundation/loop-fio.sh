#!/usr/bin/env bash
# claim: fio's crc32c verify is clean on a loop device, random and sequential, 4 KiB to 1 MiB, depth 32
# timeout: 400
. "$RESTBLK_ROOT/tests/lib.sh"
need fio jq
need_loop

size=${FIO_SIZE:-192M}
start_store
start_daemon "[control]" "enabled = false"
restblk pool create main --url "$STORE_URL/cdmi/2.0.0/"
restblk create main/a "$size"
device=$(restblk attach main/a --transport loop)
runs=0 written=0 read=0
for order in randwrite write; do
  for block in 4k 64k 1m 4k-1m; do
    say "$order, $block"
    fio --name=v --filename="$device" --direct=1 --ioengine=libaio --iodepth=32 --rw=$order --bsrange="${block%-*}-${block#*-}" \
      --blockalign=4k --size="$size" --io_size="$size" --verify=crc32c --verify_fatal=1 --verify_state_save=0 --end_fsync=1 \
      --randseed=$((runs + 1)) --output-format=json > "$WORK/fio.json" 2> "$WORK/fio.log" || fail "fio, $order, $block: $(tail -n 3 "$WORK/fio.log" "$WORK/fio.json")"
    equal "fio's error, $order, $block" 0 "$(jq '.jobs[0].error' "$WORK/fio.json")"
    written=$((written + $(jq '.jobs[0].write.io_bytes' "$WORK/fio.json")))
    read=$((read + $(jq '.jobs[0].read.io_bytes' "$WORK/fio.json")))
    runs=$((runs + 1))
  done
done
[ "$read" -gt 0 ] || fail "fio verified nothing"
restblk detach main/a
figure "$runs runs, $((written >> 20)) MiB written, $((read >> 20)) MiB verified, 0 errors"
