# shellcheck shell=bash
# What a log volume does on any store: `. "$RESTBLK_ROOT/tests/log.sh"`, after tests/lib.sh, with a daemon started and a pool `main` made.

# log_filled NAME SIZE: a new volume with an ext4 that has docs/, mounted at $WORK/mnt. `device` is its device, `before` what docs/ has.
log_filled() {
  restblk -q create "main/$1" "$2" --layout log
  device=$(restblk -q attach "main/$1" --transport loop)
  mkfs.ext4 -q -F "$device"
  mkdir -p "$WORK/mnt"
  mount "$device" "$WORK/mnt"
  cp -r "$RESTBLK_ROOT/docs" "$WORK/mnt/docs"
  before=$(tree_hash "$RESTBLK_ROOT/docs")
}

# log_life: create, attach by loop, a file system, a snapshot and a clone of it, detach, attach again, delete.
log_life() {
  local device before
  log_filled log 256M
  sync -f "$WORK/mnt"
  restblk -q snapshot create main/log@then
  rm -r "$WORK/mnt/docs"
  umount "$WORK/mnt"
  restblk -q detach main/log
  restblk -q clone main/log@then main/clone
  device=$(restblk -q attach main/clone --transport loop)
  mount "$device" "$WORK/mnt"
  equal "what the clone of the snapshot has" "$before" "$(tree_hash "$WORK/mnt/docs")"
  umount "$WORK/mnt"
  restblk -q detach main/clone
  device=$(restblk -q attach main/log --transport loop)
  e2fsck -fn "$device" > "$WORK/fsck.log" 2>&1 || fail "the volume is no clean file system: $(tail -n 3 "$WORK/fsck.log")"
  restblk -q detach main/log
  restblk -q delete main/clone --yes
  restblk -q snapshot delete main/log@then --yes
  restblk -q delete main/log --yes
  equal "volumes left" 0 "$(restblk -o json list main | jq length)"
}
