#!/usr/bin/env bash
# The daemon is killed under a mounted file system, and the store too; what was flushed is there, and work goes on.
# timeout: 240
. "$RESTBLK_ROOT/tests/lib.sh"
need mkfs.ext4 e2fsck fio jq
need_loop

start_store
start_daemon "[control]" "enabled = false"
restblk pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
restblk create main/a 256M
device=$(restblk attach main/a --transport loop)
mkfs.ext4 -q -F "$device"
mkdir -p "$WORK/mnt"
mount "$device" "$WORK/mnt"
node=$(readlink -f "$device")

is_active() { restblk -o json devices | jq -e '.[0].state == "active"'; }
start writer fio --name=w --directory="$WORK/mnt" --aux-path="$WORK" --size=32M --bs=4k --rw=randwrite --ioengine=psync --fsync=8 \
  --verify=crc32c --verify_state_save=0 --loops=2
for round in 1 2 3; do
  sleep 1
  say "the daemon dies ($round)"
  crash daemon
  sleep 0.5
  start_daemon
  wait_for 30 "the recovery of the device" is_active
  equal "the device's node" "$node" "$(readlink -f "$WORK/dev/main/a")"
  say "the store dies ($round)"
  crash store
  sleep 0.5
  start_store
done
wait_for 120 "the end of the writer" not_running writer
grep -q 'err= 0' "$WORK/writer.log" || fail "fio saw an error: $(tail -n 5 "$WORK/writer.log")"
umount "$WORK/mnt"
e2fsck -fn "$device" > "$WORK/fsck.log" 2>&1 || fail "the file system is not clean: $(tail -n 5 "$WORK/fsck.log")"
restblk detach main/a

say "a device that somebody takes away leaves no process behind"
device=$(restblk attach main/a --transport loop)
[ -n "$(find "$WORK/run" -name holder.sock)" ] || skip "this kernel has no FUSE resend: nothing keeps the device"
losetup -d "$(readlink -f "$device")"
wait_for 20 "the end of what kept the device" eval '[ -z "$(find "$WORK/run" -name holder.sock)" ]'
restblk detach main/a
device=$(restblk attach main/a --transport loop)
dd if="$device" of="$WORK/block" bs=4k count=1 iflag=direct status=none
restblk detach main/a
