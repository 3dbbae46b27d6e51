#!/bin/bash
# test: LVM thin provisioning with a snapshot on a ublk device, and a partition table
# kernels: 6.12
# timeout: 300
# modules: dm-thin-pool
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/crates/ublk/examples/attach.bash"

truncate -s 512M "$WORK/volume"
attach one "$WORK/volume" --label test/lvm --block-size 512
mkdir -p /etc/lvm
# There is no udev in the guest, and nothing else may look like a physical volume.
cat > /etc/lvm/lvmlocal.conf << 'CONF'
devices { use_devicesfile = 0
 scan = [ "/dev" ]
 types = [ "ublk", 16 ]
 filter = [ "a|/dev/ublkb.*|", "r|.*|" ] }
activation { udev_sync = 0
 udev_rules = 0
 monitoring = 0 }
CONF
pvcreate -q -y "$DEV"
vgcreate -q vg0 "$DEV"
lvcreate -q -y --type thin-pool -L 300M -n pool vg0
lvcreate -q -y -V 1G --thin -n t1 vg0/pool
mkfs.ext4 -q -E nodiscard /dev/vg0/t1
mkdir "$WORK/a" "$WORK/b"
mount /dev/vg0/t1 "$WORK/a"
echo old > "$WORK/a/x"
head -c 20M /dev/urandom > "$WORK/a/f"
sync
sum=$(sha256sum < "$WORK/a/f")
lvcreate -q -y -s -n s1 vg0/t1
lvchange -ay -K vg0/s1
echo new > "$WORK/a/x"
rm "$WORK/a/f"
sync
fstrim "$WORK/a"
mount -o ro,noload /dev/vg0/s1 "$WORK/b"
equal 'the volume' new "$(cat "$WORK/a/x")"
equal 'the snapshot' old "$(cat "$WORK/b/x")"
equal "the snapshot's data" "$sum" "$(sha256sum < "$WORK/b/f")"

say 'the process dies under LVM'
crash one
attach two "$WORK/volume" --label test/lvm --block-size 512 --recover 0
head -c 10M /dev/urandom > "$WORK/a/g"
sync
equal "the snapshot's data" "$sum" "$(sha256sum < "$WORK/b/f")"

say 'detaching is refused while LVM holds the device'
umount "$WORK/a" "$WORK/b"
tell two TERM
says two 'failed to detach .*in use'
[ -b "$DEV" ] || fail 'the device has gone all the same'
fsck.ext4 -fn /dev/vg0/t1 || fail 'the file system is damaged'
vgchange -q -an vg0
stop two 60
[ ! -e "$DEV" ] || fail "$DEV is still there"

say 'the next device has partitions'
truncate -s 64M "$WORK/parts"
attach parts "$WORK/parts" --label test/parts --block-size 512
parted -s "$DEV" mklabel gpt mkpart one 1MiB 32MiB mkpart two 32MiB 60MiB
wait_for 10 'partitions' test -b "${DEV}p2"
stop parts 60
attach parts "$WORK/parts" --label test/parts --block-size 512
# The scan at the start reads them through the queues.
wait_for 20 'the scan of partitions' test -b "${DEV}p2"
stop parts 60
[ ! -e "${DEV}p2" ] || fail 'the partitions are still there'
