#!/bin/bash
# test: a ublk device grows and shrinks in use where the kernel can, and says so where it cannot
# kernels: 6.12 7.2
# timeout: 200
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/crates/ublk/examples/attach.bash"

size() { blockdev --getsize64 "$DEV"; }
has_size() { [ "$(size)" = "$1" ]; }
truncate -s 64M "$WORK/volume"
attach one "$WORK/volume" --label test/grows --block-size 512
mkfs.ext4 -q -F "$DEV"
mkdir "$WORK/mnt"
mount "$DEV" "$WORK/mnt"
head -c 20M /dev/urandom > "$WORK/mnt/data"
sum=$(sha256sum < "$WORK/mnt/data")
truncate -s 160M "$WORK/volume"
tell one USR1

case $(uname -r) in
  6.12*)
    says one 'cannot change a ublk device in use'
    grep -q 'no online resize before Linux 6.16' "$WORK/one.log" || fail 'probe does not tell the limit'
    equal 'the size in use' $((64 << 20)) "$(size)"
    umount "$WORK/mnt"
    stop one 60
    attach again "$WORK/volume" --label test/grows --block-size 512
    equal 'the size after attaching again' $((160 << 20)) "$(size)"
    mount "$DEV" "$WORK/mnt"
    ;;
  *)
    says one 'the device has its new size'
    wait_for 10 'the new size' has_size $((160 << 20))
    say 'growing while nobody serves it: the next process brings the size up'
    tell one INT
    ended one
    truncate -s 200M "$WORK/volume"
    attach again "$WORK/volume" --label test/grows --block-size 512 --recover 0
    wait_for 10 'the new size' has_size $((200 << 20))
    ;;
esac
resize2fs "$DEV"
[ "$(df -B1 --output=size "$WORK/mnt" | tail -n1)" -gt $((120 << 20)) ] || fail 'the file system has not grown'
equal 'the data' "$sum" "$(sha256sum < "$WORK/mnt/data")"
head -c 60M /dev/urandom > "$WORK/mnt/more"
umount "$WORK/mnt"
fsck.ext4 -fn "$DEV" || fail 'the file system is damaged'
if ! [[ $(uname -r) = 6.12* ]]; then
  truncate -s 32M "$WORK/volume"
  tell again USR1
  wait_for 10 'the smaller size' has_size $((32 << 20))
fi
stop again 60
