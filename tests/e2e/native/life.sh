#!/usr/bin/env bash
# A volume's life in every dialect: create, attach by loop, use, extend while mounted, detach, delete.
# timeout: 240
. "$RESTBLK_ROOT/tests/lib.sh"
need mkfs.ext4 e2fsck curl jq
need_loop

for mode in cdmi2 cdmi1 scality srb; do
  say "mode $mode"
  rm -rf "$WORK/store" "$WORK/state"
  start_store --mode "$mode"
  start_daemon "[control]" "enabled = false"
  prefix=$([ "$mode" = cdmi2 ] && echo /cdmi/2.0.0/ || echo /)
  restblk pool create main --store cdmi --url "$STORE_URL$prefix"
  restblk create main/a 128M
  equal "the file on the store" $((128 << 20)) "$(stat -c %s "$WORK/store/a")"
  device=$(restblk attach main/a --transport loop)
  mkfs.ext4 -q -F "$device"
  mkdir -p "$WORK/mnt"
  mount "$device" "$WORK/mnt"
  cp -r "$RESTBLK_ROOT/docs" "$WORK/mnt/docs"
  sync -f "$WORK/mnt"
  refuses -c 5 -m 'mounted on' restblk detach main/a
  refuses -c 5 -m 'attached to this host at /dev/loop' restblk delete main/a
  refuses -c 5 -m 'restblk detach main/a, then' restblk delete main/a
  refuses -c 4 -m 'attached already' restblk attach main/a
  restblk extend main/a 192M
  equal "the device's size while mounted" $((192 << 20)) "$(blockdev --getsize64 "$device")"
  umount "$WORK/mnt"
  # what the device flushed is the file: any other program can read it
  e2fsck -fn "$WORK/store/a" > "$WORK/fsck.log" 2>&1 || fail "the file on the store is no clean file system"
  mount "$device" "$WORK/mnt"
  equal "the tree" "$(tree_hash "$RESTBLK_ROOT/docs")" "$(tree_hash "$WORK/mnt/docs")"
  umount "$WORK/mnt"
  restblk detach main/a
  restblk delete main/a
  [ ! -e "$WORK/store/a" ] || fail "the file is still on the store"
  equal "volumes left" 0 "$(restblk -o json list | jq length)"
  stop daemon
  stop store
done
