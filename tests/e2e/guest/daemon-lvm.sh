#!/bin/bash
# test: LVM thin provisioning on a volume: a snapshot keeps its bytes, over the daemon's death too; partitions; the choice of a transport
# kernels: 7.2
# modules: ext4 dm-thin-pool
# timeout: 400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/e2e/guest/daemon.bash"
need pvcreate lvcreate mkfs.ext4 fstrim parted jq

mkdir -p "$WORK/a" "$WORK/b" /etc/lvm
# Without udev LVM makes its nodes itself; nothing else may look like a physical volume.
cat > /etc/lvm/lvmlocal.conf << 'CONF'
devices { use_devicesfile = 0
 scan = [ "/dev" ]
 types = [ "ublk", 16 ]
 filter = [ "a|^/dev/ublkb.*|", "a|^/dev/nbd.*|", "r|.*|" ] }
activation { udev_sync = 0
 udev_rules = 0
 monitoring = 0 }
CONF
start_host

for transport in $TRANSPORTS; do
  say "$transport: thin pool, volume, snapshot"
  attach "$transport" pv 256M
  pvcreate -q -y "$NODE"
  vgcreate -q vg0 "$NODE"
  lvcreate -q -y --type thin-pool -L 160M -n pool vg0
  lvcreate -q -y -V 1G --thin -n t1 vg0/pool
  mkfs.ext4 -q -E nodiscard /dev/vg0/t1
  mount /dev/vg0/t1 "$WORK/a"
  echo old > "$WORK/a/x"
  head -c 12M /dev/urandom > "$WORK/a/f"
  sum=$(sha256sum < "$WORK/a/f")
  lvcreate -q -y -s -n s1 vg0/t1
  lvchange -ay -K vg0/s1
  echo new > "$WORK/a/x"
  head -c 4M /dev/urandom > "$WORK/a/f"
  sync -f "$WORK/a"
  fstrim "$WORK/a"
  mount -o ro,noload /dev/vg0/s1 "$WORK/b"
  equal "the volume" new "$(cat "$WORK/a/x")"
  equal "the snapshot" "old $sum" "$(cat "$WORK/b/x") $(sha256sum < "$WORK/b/f")"

  say "$transport: the daemon dies under LVM"
  crash daemon
  daemon_again
  umount "$WORK/b"
  head -c 6M /dev/urandom > "$WORK/a/g"
  sync -f "$WORK/a"
  mount -o ro,noload /dev/vg0/s1 "$WORK/b"
  equal "the snapshot after the death" "old $sum" "$(cat "$WORK/b/x") $(sha256sum < "$WORK/b/f")"
  umount "$WORK/a" "$WORK/b"
  refuses -c 5 -m 'it is held by dm-[0-9]+ \(vg0-pool_t(meta|data)\)' restblk detach main/pv
  e2fsck -fn /dev/vg0/t1 > "$WORK/fsck.log" 2>&1 || fail "the file system is damaged: $(tail -n 5 "$WORK/fsck.log")"
  vgchange -q -an vg0
  end_of main/pv

  say "$transport: a partition table, found again at the next attach"
  attach "$transport" parts 64M
  parted -s "$NODE" mklabel gpt mkpart one 1MiB 32MiB mkpart two 32MiB 60MiB
  wait_for 10 "partitions" test -b "${NODE}p2"
  restblk detach main/parts
  DEVICE=$(restblk attach main/parts --transport "$transport") NODE=$(readlink -f "$DEVICE")
  # nbd's driver looks for partitions when somebody opens the device
  wait_for 20 "the scan of partitions" eval ': < "$NODE" && test -b "${NODE}p2"'
  end_of main/parts
  [ ! -e "${NODE}p2" ] || fail "the partitions are still there"
  quiet_kernel
  figure "$transport: an LVM thin snapshot kept its bytes through later writes and a kill"
done

# Without --transport: the best that there is, and it is said which.
chosen() {
  local said
  said=$(restblk attach main/any 2>&1 > "$WORK/path") || fail "attach: $said"
  equal "the stable path" /dev/restblk/main/any "$(cat "$WORK/path")"
  grep -Eq "attached main/any \(16 MiB, $1\) as $2" <<< "$said" || fail "it does not say that it took $1: $said"
  restblk devices | grep -Eq "^$2 .* $1 +active" || fail "devices does not say it: $(restblk devices)"
  restblk detach main/any
}
restblk create main/any 16M
say "attach takes ublk where there is one"
chosen ublk '/dev/ublkb[0-9]+'
say "and nbd where there is none"
modprobe -r ublk_drv
echo 'install ublk_drv /bin/false' > /etc/modprobe.d/none.conf
chosen nbd '/dev/nbd[0-9]+'
refuses -c 11 -m 'ublk: kernel .* has no /dev/ublk-control' restblk attach main/any --transport ublk
say "attach took ublk where the kernel had it, else nbd, and said which"
