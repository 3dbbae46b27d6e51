#!/bin/bash
# test: a device of the kernel's NBD client is attached, used, trimmed, resized, and detached
# kernels: 6.12 7.2
# modules: ext4
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
attach=$RESTBLK_PROGRAMS/examples/nbd_attach
[ -x "$attach" ] || fail "no $attach: cargo build --release -p restblk-nbd --examples"
need mkfs.ext4 fsck.ext4 fio fstrim nbd-client blockdev

says() { grep -q "$1" "$WORK/$2.log"; }
size_is() { [ "$(blockdev --getsize64 "$1")" = "$2" ]; }

say "attach: the module is loaded by the transport itself"
[ ! -d /sys/module/nbd ] || fail "nbd is loaded already"
truncate -s 128M "$WORK/image"
start one "$attach" "$WORK/image"
wait_for 30 "attaching" says ^attached one
equal "the first node" "attached /dev/nbd0 resumed false" "$(grep ^attached "$WORK/one.log")"
queue=/sys/block/nbd0/queue
equal "size" $((128 << 20)) "$(blockdev --getsize64 /dev/nbd0)"
equal "cache, FUA, block, discard" "write back 0 512 yes" \
  "$(cat $queue/write_cache) $(cat $queue/fua) $(cat $queue/logical_block_size) $([ "$(cat $queue/discard_max_bytes)" -gt 0 ] && echo yes)"
equal "label" restblk:example/volume "$(cat /sys/block/nbd0/backend)"
equal "longest request, time-out" "1024 5000" "$(cat $queue/max_sectors_kb) $(cat $queue/io_timeout)"

say "a second device takes the next node, with two queues"
start two "$attach" --queues 2 memory:16777216
wait_for 30 "attaching" says ^attached two
equal "its node" "attached /dev/nbd1 resumed false" "$(grep ^attached "$WORK/two.log")"
equal "its queues" 2 "$(ls /sys/block/nbd1/mq | wc -l)"
fio --name=two --filename=/dev/nbd1 --direct=1 --rw=randwrite --bsrange=512-64k --blockalign=512 --iodepth=16 --ioengine=io_uring \
  --verify=crc32c --verify_fatal=1 --size=16M --minimal > "$WORK/fio-two.log" 2>&1 || fail "fio on two queues"

say "file system"
mkfs.ext4 -q -E nodiscard /dev/nbd0
mkdir -p "$WORK/mnt"
mount /dev/nbd0 "$WORK/mnt"
dd if=/dev/urandom of="$WORK/mnt/file" bs=1M count=16 conv=fsync status=none
sum=$(sha256sum < "$WORK/mnt/file")

say "resize while mounted"
truncate -s 192M "$WORK/image"
kill -HUP "$(pid_of one)"
wait_for 20 "the new size" size_is /dev/nbd0 $((192 << 20))
resize2fs /dev/nbd0 > /dev/null 2>&1
[ "$(df --output=size -k "$WORK/mnt" | tail -1)" -gt 150000 ] || fail "the file system did not grow"

say "trim"
dd if=/dev/zero of="$WORK/mnt/waste" bs=1M count=32 conv=fsync status=none
before=$(du -k "$WORK/image" | cut -f1)
rm "$WORK/mnt/waste"
sync -f "$WORK/mnt"
fstrim "$WORK/mnt"
after=$(du -k "$WORK/image" | cut -f1)
[ $((before - after)) -gt 16000 ] || fail "trim freed $((before - after)) KiB of 32 MiB"
blkdiscard -z -o 0 -l 1048576 /dev/nbd1
cmp -n 1048576 /dev/nbd1 /dev/zero

umount "$WORK/mnt"
fsck.ext4 -fn /dev/nbd0 > /dev/null
mount /dev/nbd0 "$WORK/mnt"
equal "the file" "$sum" "$(sha256sum < "$WORK/mnt/file")"
umount "$WORK/mnt"

say "detach: the node is free, and taken again"
stop one
equal "size of the free node" 0 "$(blockdev --getsize64 /dev/nbd0 2> /dev/null || echo 0)"
[ ! -e /sys/block/nbd0/pid ] || fail "the node is not free"
says '^detached' one || fail "it did not say so"
start again "$attach" "$WORK/image"
wait_for 30 "attaching again" says "^attached /dev/nbd0" again

say "disconnected behind our back: it says so and ends"
nbd-client -d /dev/nbd1 > /dev/null
wait_for 20 "the notice" says "^gone: it was disconnected" two
stop again
dmesg | grep -E 'BUG:|WARNING:|blocked for more|I/O error|EXT4-fs error' && fail "the kernel complained"
say "done"
