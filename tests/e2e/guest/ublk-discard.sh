#!/bin/bash
# test: discard, write-zeroes, FUA, read-only and both block sizes through ublk
# kernels: 6.12 7.2
# timeout: 200
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/crates/ublk/examples/attach.bash"

queue() { cat "/sys/block/${DEV#/dev/}/queue/$1"; }
used_kb() { du -k "$WORK/volume" | cut -f1; }

truncate -s 300M "$WORK/volume"
attach rich "$WORK/volume" --label test/rich
equal 'logical block' 4096 "$(queue logical_block_size)"
equal 'cache' 'write back' "$(queue write_cache)"
equal 'fua' 1 "$(queue fua)"
equal 'discard limit' $((128 << 20)) "$(queue discard_max_bytes)"
equal 'zeroes limit' $((16 << 20)) "$(queue write_zeroes_max_bytes)"
equal 'optimal' 65536 "$(queue optimal_io_size)"
equal 'largest request' 512 "$(queue max_hw_sectors_kb)"

head -c 24M /dev/urandom | dd of="$DEV" bs=1M oflag=direct status=none iflag=fullblock
[ "$(used_kb)" -ge 24000 ] || fail 'the writes did not arrive'
blkdiscard "$DEV" # of 300 MiB: three requests at most
[ "$(used_kb)" -lt 1000 ] || fail "discard freed nothing: $(used_kb) KiB are left"
head -c 40M /dev/urandom | dd of="$DEV" bs=1M oflag=direct status=none iflag=fullblock
blkdiscard -z -o 4096 -l $((36 << 20)) "$DEV"
cmp -n $((36 << 20)) -i 4096:0 "$DEV" /dev/zero || fail 'zeroes are not zero'
! cmp -s -n 4096 "$DEV" /dev/zero || fail 'more than asked was zeroed'

mkfs.ext4 -q -F "$DEV"
mkdir "$WORK/mnt"
mount "$DEV" "$WORK/mnt"
head -c 60M /dev/urandom > "$WORK/mnt/f"
sync
full=$(used_kb)
rm "$WORK/mnt/f"
sync
fstrim -v "$WORK/mnt"
[ "$(used_kb)" -lt $((full - 50000)) ] || fail "fstrim freed nothing: $full KiB, then $(used_kb)"
umount "$WORK/mnt"
stop rich 60

say '512-byte blocks, without FUA and write-zeroes'
rm "$WORK/volume"
truncate -s 64M "$WORK/volume"
attach plain "$WORK/volume" --label test/plain --plain --block-size 512
equal 'logical block' 512 "$(queue logical_block_size)"
equal 'physical block' 4096 "$(queue physical_block_size)"
equal 'fua' 0 "$(queue fua)"
equal 'zeroes limit' 0 "$(queue write_zeroes_max_bytes)"
printf 'odd sector' | dd of="$DEV" bs=512 seek=7 conv=sync,fsync oflag=direct status=none
equal 'one sector' 'odd sector' "$(dd if="$DEV" bs=512 skip=7 count=1 status=none | tr -d '\0')"
fio --name=v --filename="$DEV" --offset=1M --size=6M --rw=randwrite --bsrange=512-64k --direct=1 --ioengine=libaio --iodepth=8 --sync=dsync \
  --verify=crc32c --output="$WORK/fio.log" || { cat "$WORK/fio.log"; fail 'fio'; }
stop plain 60

say 'read-only'
attach fixed "$WORK/volume" --label test/fixed --read-only --block-size 512
equal 'read-only' 1 "$(blockdev --getro "$DEV")"
refuses -m 'not permitted|read-only' dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct
equal 'the sector' 'odd sector' "$(dd if="$DEV" bs=512 skip=7 count=1 status=none | tr -d '\0')"
stop fixed 60
