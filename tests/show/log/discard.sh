#!/usr/bin/env bash
# claim: mkfs.ext4, xfs and btrfs with a discard of a whole 1 TiB volume take seconds; what fstrim discards is freed on the store
# timeout: 600
. "$RESTBLK_ROOT/tests/lib.sh"
need mkfs.ext4 mkfs.xfs mkfs.btrfs fstrim jq
need_loop

start_store
start_daemon "[control]" "enabled = false" "[journal]" 'size = "128M"'
restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
restblk -q create main/a 1T --layout log
device=$(restblk -q attach main/a --transport loop)
mkdir "$WORK/mnt"
slowest=0
for kind in btrfs xfs ext4; do
  case $kind in ext4) options=(-q -F -E discard,lazy_itable_init=1) ;; xfs) options=(-q -f) ;; btrfs) options=(-q -f) ;; esac
  from=$(elapsed_ms)
  "mkfs.$kind" "${options[@]}" "$device" > "$WORK/mkfs.log" 2>&1 || fail "mkfs.$kind: $(tail -n 5 "$WORK/mkfs.log")"
  blockdev --flushbufs "$device"
  took=$(($(elapsed_ms) - from))
  say "mkfs.$kind took $took ms"
  [ $took -le $slowest ] || slowest=$took
  mount "$device" "$WORK/mnt"
  umount "$WORK/mnt"
done
[ $slowest -lt 15000 ] || fail "one mkfs took $slowest ms"

mount "$device" "$WORK/mnt"
# what lies on the store for the volume, in MiB
used() { du -sm --apparent-size "$WORK/store/.restblk/vol" | cut -f1; }
dd if=/dev/urandom of="$WORK/mnt/big" bs=1M count=256 status=none conv=fsync
has_it() { [ "$(used)" -ge 256 ]; }
wait_for 60 "the arrival of 256 MiB on the store" has_it
before=$(used)
rm "$WORK/mnt/big"
sync -f "$WORK/mnt"
fstrim "$WORK/mnt"
has_freed() { [ "$(used)" -le $((before - 230)) ]; }
from=$(elapsed_ms)
wait_for 180 "the return of what fstrim discarded: $before MiB before, $(used) now" has_freed
freed_after=$(($(elapsed_ms) - from))
umount "$WORK/mnt"
e2fsck -fn "$device" > "$WORK/fsck.log" 2>&1 || fail "the file system is not clean: $(tail -n 5 "$WORK/fsck.log")"
restblk -q detach main/a
figure "the slowest mkfs of 1 TiB took $slowest ms; fstrim took the store from $before to $(used) MiB, within $((freed_after / 1000)) s"
