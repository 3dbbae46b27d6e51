#!/usr/bin/env bash
# claim: ext4, xfs and btrfs filled with the Rust toolchain survive a restart of the daemon: fsck clean, every checksum the same
# timeout: 1800
. "$RESTBLK_ROOT/tests/lib.sh"
need mkfs.ext4 e2fsck mkfs.xfs xfs_repair mkfs.btrfs btrfs rustc jq
need_loop

# at least 1 GB or 100,000 files: the toolchain itself, as often as it takes
tree=$(rustc --print sysroot)
bytes=$(du -sb "$tree" | cut -f1)
files=$(find "$tree" -type f | wc -l)
copies=$(((1000000000 + bytes - 1) / bytes))
[ "$files" -ge 100000 ] && copies=1
say "$tree: $files files, $((bytes / 1000000)) MB, $copies time(s)"
wanted=$(tree_hash "$tree")
size=$((bytes * copies * 3 / 2 / 1048576 + files * copies * 8 / 1024 + 768))M

is_active() { restblk -o json devices | jq -e '.[0].state == "active"' > /dev/null; }

share_mounts
start_store
start_daemon "[control]" "enabled = false"
restblk pool create main --url "$STORE_URL/cdmi/2.0.0/"
mkdir -p "$WORK/mnt"
for kind in ext4 xfs btrfs; do
  grep -qw "$kind" /proc/filesystems || modprobe "$kind" 2> /dev/null || skip "this host's kernel has no $kind"
done
for kind in ext4 xfs btrfs; do
  say "$kind: fill"
  restblk create "main/$kind" "$size"
  device=$(restblk attach "main/$kind" --transport loop --persist)
  case $kind in ext4) mkfs.ext4 -q -F "$device" ;; *) "mkfs.$kind" -q -f "$device" ;; esac
  mount "$device" "$WORK/mnt"
  for copy in $(seq "$copies"); do cp -a "$tree" "$WORK/mnt/$copy"; done
  umount "$WORK/mnt"
  say "$kind: the daemon is restarted"
  stop daemon
  start_daemon
  wait_for 30 "the device's return" is_active
  device=$WORK/dev/main/$kind
  wait_for 30 "the device's node" test -b "$device"
  say "$kind: compare"
  case $kind in
    ext4) e2fsck -fn "$device" ;;
    xfs) xfs_repair -n "$device" ;;
    btrfs) btrfs check "$device" ;;
  esac > "$WORK/fsck.log" 2>&1 || fail "$kind is not clean: $(tail -n 5 "$WORK/fsck.log")"
  mount "$device" "$WORK/mnt"
  for copy in $(seq "$copies"); do equal "$kind, copy $copy" "$wanted" "$(tree_hash "$WORK/mnt/$copy")"; done
  umount "$WORK/mnt"
  restblk detach "main/$kind"
  restblk delete --yes "main/$kind"
done
figure "3 file systems, each $((files * copies)) files of $((bytes * copies / 1000000)) MB: all checksums the same, fsck clean"
