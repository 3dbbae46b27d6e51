#!/bin/bash
# test: the process behind an NBD device is killed, hands over, and comes back, under a mounted file system
# kernels: 6.12 7.2
# modules: ext4
# timeout: 400
. "$RESTBLK_ROOT/tests/lib.sh"
attach=$RESTBLK_PROGRAMS/examples/nbd_attach
[ -x "$attach" ] || fail "no $attach: cargo build --release -p restblk-nbd --examples"
need mkfs.ext4 fsck.ext4 fio

says() { grep -q "$1" "$WORK/$2.log"; }
writing() { [ "$(awk '{print $7}' "/sys/block/nbd$1/stat")" -gt "$2" ]; }

# round QUEUES: fio with verify on a mounted file system; twice killed, once handed over; then everything is checked
round() {
  local queues=$1 file=$WORK/image$1 server=server$1 killed
  say "$queues queue(s): attach and fill"
  truncate -s 64M "$file"
  start "$server-0" "$attach" --queues "$queues" --delay-ms 30 "$file"
  wait_for 30 "attaching" says ^attached "$server-0"
  mkfs.ext4 -q /dev/nbd0
  mkdir -p "$WORK/mnt"
  mount /dev/nbd0 "$WORK/mnt"
  # direct, so that every request is the device's; rate-limited, so that it lasts over the kills
  start "fio$queues" fio --name=v --directory="$WORK/mnt" --size=24M --bsrange=4k-32k --rw=randwrite --direct=1 --ioengine=io_uring \
    --iodepth=16 --verify=crc32c --verify_fatal=1 --fsync=32 --rate=2m --minimal
  wait_for 60 "fio's writes" writing 0 2000

  for killed in 1 2; do
    say "$queues queue(s): kill -9, recover"
    crash "$server-$((killed - 1))"
    sleep 1
    is_running "fio$queues" || fail "fio ended while nobody served"
    start "$server-$killed" "$attach" --queues "$queues" --delay-ms 30 --recover 0 "$file"
    wait_for 30 "recovery" says "^attached /dev/nbd0 resumed true" "$server-$killed"
    sleep 2
  done

  say "$queues queue(s): hand over"
  kill -USR1 "$(pid_of "$server-2")"
  wait_for 30 "handing over" says "^handed over" "$server-2"
  start "$server-3" "$attach" --queues "$queues" --delay-ms 30 --recover 0 "$file"
  wait_for 30 "taking over" says "^attached /dev/nbd0 resumed true" "$server-3"

  wait_for 150 "fio's end" not_running "fio$queues"
  wait "$(pid_of "fio$queues")" || fail "fio did not verify"
  umount "$WORK/mnt"
  fsck.ext4 -fn /dev/nbd0 > /dev/null || fail "the file system is damaged"
  stop "$server-3"
}

round 1
round 2

say "two queues: a write takes longer than the kernel's patience, is sent again, and lands once at a time"
start slow "$attach" --queues 2 --stall-ms 7000 "$WORK/image2"
wait_for 30 "attaching" says "^attached /dev/nbd0" slow
echo 2000 > /sys/block/nbd0/queue/io_timeout
dd if=/dev/urandom of="$WORK/block" bs=4k count=1 status=none
dd if="$WORK/block" of=/dev/nbd0 bs=4k oflag=direct status=none || fail "the slow write failed"
cmp -n 4096 "$WORK/block" /dev/nbd0
dmesg | grep -q 'Connection timed out, retrying' || fail "the kernel was patient: nothing was tested"
stop slow

say "a device that serves another volume is not taken over, and what a dead one left is cleared away"
truncate -s 16M "$WORK/other"
start holder "$attach" --label pool/held memory:16777216
wait_for 30 "attaching" says "^attached /dev/nbd0" holder
start other "$attach" --label pool/other --recover 0 "$WORK/other"
wait_for 30 "attaching elsewhere" says "^attached /dev/nbd1 resumed false" other
equal "the owner of nbd0" restblk:pool/held "$(cat /sys/block/nbd0/backend)"
stop other
crash holder
equal "the owner of what is left" restblk:pool/held "$(cat /sys/block/nbd0/backend)"
"$attach" --clean 0
wait_for 20 "nbd0 to be free" [ ! -e /sys/block/nbd0/pid ]
start fresh "$attach" --label pool/other --recover 0 "$WORK/other"
wait_for 30 "attaching afresh" says "^attached /dev/nbd0 resumed false" fresh
stop fresh
dmesg | grep -E 'BUG:|WARNING:|blocked for more|I/O error|EXT4-fs error' && fail "the kernel complained"
say "done"
