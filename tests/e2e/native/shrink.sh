#!/usr/bin/env bash
# A log volume becomes smaller: not while it is attached, not over data, and what is before its new end stays; beyond it, zeros follow later.
# timeout: 120
. "$RESTBLK_ROOT/tests/lib.sh"
need jq resize2fs blkdiscard
need_loop

start_store
start_daemon "[control]" "enabled = false"
restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
mnt=$WORK/mnt
mkdir "$mnt"
restblk -q create main/a 64M --layout log
device=$(restblk -q attach main/a --transport loop)
mkfs.ext4 -q "$device"
mount "$device" "$mnt"
head -c 3M /dev/urandom > "$mnt/file"
sum=$(sha256sum < "$mnt/file")
umount "$mnt"
# where the file system has nothing
dd if=/dev/urandom of="$device" bs=1M seek=40 count=1 oflag=direct status=none
refuses -c 5 -m 'detach' restblk volume shrink main/a 32M
restblk -q snapshot create main/a@large
restblk -q detach main/a
refuses -c 6 -m "byte $((40 << 20))" restblk volume shrink main/a 32M
refuses -c 6 -m 'extend' restblk volume shrink main/a 64M
equal "the size" 67108864 "$(restblk -o json show main/a | jq .size)"

say "with its file system shrunk and the rest discarded"
device=$(restblk -q attach main/a --transport loop)
e2fsck -fp "$device" > /dev/null
resize2fs "$device" 24M > /dev/null 2>&1
blkdiscard -o 33554432 "$device"
restblk -q detach main/a
equal "what shrink says" "main/a 32 MiB" "$(restblk volume shrink main/a 32M)"
device=$(restblk -q attach main/a --transport loop)
equal "the device's size" 33554432 "$(blockdev --getsize64 "$device")"
e2fsck -fn "$device" > "$WORK/fsck.txt" 2>&1 || fail "$(cat "$WORK/fsck.txt")"
mount "$device" "$mnt"
equal "the file" "$sum" "$(sha256sum < "$mnt/file")"
umount "$mnt"

say "data is given up only when asked to, and does not come back"
dd if=/dev/urandom of="$device" bs=1M seek=28 count=2 oflag=direct status=none
restblk -q detach main/a
refuses -c 6 -m "byte $((28 << 20))" restblk volume shrink main/a 26M
restblk -q volume shrink main/a 26M --discard-data --yes
restblk -q extend main/a 32M
device=$(restblk -q attach main/a --transport loop)
cmp -n $((6 << 20)) -i $((26 << 20)):0 "$device" /dev/zero || fail "what was given up came back"
restblk -q detach main/a
uri=$(restblk -q attach main/a@large --transport loop)
equal "the snapshot's size" 67108864 "$(blockdev --getsize64 "$uri")"
mount -o ro,noload "$uri" "$mnt"
equal "the file in the snapshot" "$sum" "$(sha256sum < "$mnt/file")"
umount "$mnt"
restblk -q detach main/a@large
refuses -c 11 restblk volume shrink "$(restblk -q create main/d 2M --layout direct)" 1M
restblk -q check main/a --deep > "$WORK/check.txt" || fail "$(cat "$WORK/check.txt")"
