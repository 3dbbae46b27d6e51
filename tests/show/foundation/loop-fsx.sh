#!/usr/bin/env bash
# claim: fsx's 100,000 operations are clean on the raw loop device and on a mounted xfs, each extended again and again meanwhile
# timeout: 1500
# tools: fsx
. "$RESTBLK_ROOT/tests/lib.sh"
need fsx mkfs.xfs xfs_repair xfs_growfs jq cmp
need_loop
grep -qw xfs /proc/filesystems || modprobe xfs 2> /dev/null || skip "this host's kernel has no xfs"

operations=${FSX_OPERATIONS:-100000} seed=${FSX_SEED:-20140623}
share_mounts
start_store
start_daemon "[control]" "enabled = false"
restblk pool create main --url "$STORE_URL/cdmi/2.0.0/"
mkdir "$WORK/mnt"

# exercise NAME FILE VOLUME MIB: fsx on FILE, while VOLUME grows by 1 MiB at a time from MIB; sets `extends` and `size`.
exercise() {
  local name=$1 file=$2 volume=$3 mib=$4 shown
  extends=0
  say "$name: $operations operations from the seed $seed"
  mkdir "$WORK/$name"
  start "fsx-$name" fsx -N "$operations" -S "$seed" -f "$WORK/$name.toml" -P "$WORK/$name" "$file"
  while is_running "fsx-$name"; do
    mib=$((mib + 1))
    "$RESTBLK" --socket "$WORK/run/api.sock" --quiet extend "main/$volume" "${mib}M" > "$WORK/extend.txt" 2>&1 || fail "$(cat "$WORK/extend.txt")"
    shown=$(blockdev --getsize64 "$WORK/dev/main/$volume")
    equal "the size of the device in use" $((mib << 20)) "$shown"
    grown "$name"
    extends=$((extends + 1))
    sleep 1
  done
  size=$((mib << 20))
  grep -q 'All operations completed A-OK' "$WORK/fsx-$name.log" || fail "fsx on $name: $(tail -n 20 "$WORK/fsx-$name.log")"
  [ "$extends" -ge 10 ] || fail "fsx was done after $extends extends: more operations are needed"
  say "$name: clean, extended $extends times"
}
# what else is done after an extend: of the raw device, so that it is read again and not the page cache; of xfs, growing it
grown() {
  case $1 in
    raw) blockdev --flushbufs "$device" ;;
    xfs) xfs_growfs "$WORK/mnt" > "$WORK/growfs.txt" 2>&1 || fail "$(cat "$WORK/growfs.txt")" ;;
  esac
}

# The raw device, in whole blocks, because a hole can be punched in whole blocks alone. fsx never changes its size.
length=$((16 << 20))
cat > "$WORK/raw.toml" << END
blockmode = true
nosizechecks = true
flen = $length
[opsize]
align = 512
[weights]
read = 10
write = 10
mapread = 10
mapwrite = 10
truncate = 0
punch_hole = 5
sendfile = 2
invalidate = 1
fsync = 0.5
fdatasync = 0.5
posix_fadvise = 2
END
restblk create main/raw 16M
device=$(restblk attach main/raw --transport loop)
reads() { awk '{ print $3 }' "/sys/class/block/$(basename "$(readlink -f "$device")")/stat"; }
before=$(reads)
exercise raw "$device" raw 16
read_mib=$((($(reads) - before) / 2048)) raw_extends=$extends
[ "$read_mib" -ge 16 ] || fail "only $read_mib MiB came from the device: the page cache was tested"
equal "the size of the object" "$size" "$(stat -c %s "$WORK/store/raw")"
dd if="$device" bs=1M iflag=direct status=none | cmp - "$WORK/store/raw" || fail "the device and the object differ"
cmp -n $((size - length)) -i "$length:0" "$WORK/store/raw" /dev/zero || fail "what was added is not zeros"
restblk detach main/raw

# A file of a mounted file system, with what changes sizes and extents.
cat > "$WORK/xfs.toml" << END
flen = $length
[weights]
close_open = 1
read = 10
write = 10
mapread = 10
mapwrite = 10
truncate = 5
punch_hole = 5
posix_fallocate = 2
copy_file_range = 2
sendfile = 2
invalidate = 1
fsync = 0.5
fdatasync = 0.5
posix_fadvise = 2
END
restblk create main/xfs 512M
device=$(restblk attach main/xfs --transport loop)
mkfs.xfs -q "$device"
mount "$device" "$WORK/mnt"
exercise xfs "$WORK/mnt/file" xfs 512
sum=$(sha256sum < "$WORK/mnt/file")
grown_mib=$(($(df --output=size -B1M "$WORK/mnt" | tail -n 1)))
umount "$WORK/mnt"
restblk detach main/xfs
device=$(restblk attach main/xfs --transport loop)
xfs_repair -n "$device" > "$WORK/repair.log" 2>&1 || fail "xfs is not clean: $(tail -n 5 "$WORK/repair.log")"
mount "$device" "$WORK/mnt"
equal "the file after another attach" "$sum" "$(sha256sum < "$WORK/mnt/file")"
umount "$WORK/mnt"
restblk detach main/xfs
figure "$operations operations raw ($raw_extends extends, $read_mib MiB read back from the device) and $operations on xfs ($extends extends, grown to $grown_mib MiB), all clean"
