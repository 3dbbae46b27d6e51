# shellcheck shell=bash
# What a direct volume does on any store whose server keeps its bytes in a file: `. "$RESTBLK_ROOT/tests/direct.sh"`, after tests/lib.sh,
# with a daemon started and a pool `main` made.

# direct_life FOLDER: create, attach by loop, use, extend while mounted, detach, delete; FOLDER is where the server keeps the volumes' files.
direct_life() {
  local folder=$1 device
  restblk create main/a 64M
  equal "the file on the store" $((64 << 20)) "$(stat -c %s "$folder/a")"
  device=$(restblk attach main/a --transport loop)
  mkfs.ext4 -q -F "$device"
  mkdir -p "$WORK/mnt"
  mount "$device" "$WORK/mnt"
  cp -r "$RESTBLK_ROOT/docs" "$WORK/mnt/docs"
  sync -f "$WORK/mnt"
  refuses -c 5 -m 'mounted on' restblk detach main/a
  restblk extend main/a 96M
  equal "the device's size while mounted" $((96 << 20)) "$(blockdev --getsize64 "$device")"
  umount "$WORK/mnt"
  # what the device flushed is the file: any other program can read it
  e2fsck -fn "$folder/a" > "$WORK/fsck.log" 2>&1 || fail "the file on the store is no clean file system"
  mount "$device" "$WORK/mnt"
  equal "the tree" "$(tree_hash "$RESTBLK_ROOT/docs")" "$(tree_hash "$WORK/mnt/docs")"
  umount "$WORK/mnt"
  restblk detach main/a
  restblk delete main/a
  [ ! -e "$folder/a" ] || fail "the file is still on the store"
  equal "volumes left" 0 "$(restblk -o json list | jq length)"
}

# second_host_is_fenced KIND URL FOLDER locked|recorded: a second daemon on the same repository is told who holds a volume; a forced takeover fences the first.
# `locked`: the store refuses the first one's writes by itself, before the first one has looked.
second_host_is_fenced() {
  local kind=$1 url=$2 folder=$3 how=$4 device taken
  restblk create main/b 16M
  device=$(restblk attach main/b --transport loop)
  dd if=/dev/urandom of="$device" bs=64k count=16 oflag=direct status=none
  mkdir -p "$WORK/second/run"
  printf '%s\n' "state_dir = \"$WORK/second/state\"" "run_dir = \"$WORK/second/run\"" "dev_dir = \"$WORK/second/dev\"" \
    "lease_check_s = 1" "[control]" "enabled = false" > "$WORK/second/restblk.toml"
  start second "$RESTBLK" daemon --config "$WORK/second/restblk.toml"
  second() { RESTBLK_SOCKET=$WORK/second/run/api.sock "$RESTBLK" "$@"; }
  wait_for 20 "the second daemon's answer" second list
  second pool create of-b --store "$kind" --url "$url" "${@:5}"
  refuses -c 5 -m "another host holds it|$(hostname) holds it|holds it" second attach of-b/b --transport loop
  if [ "$how" = locked ]; then
    # the store itself keeps out whoever has no token, any other program included
    equal "a stranger's write to the locked file" 423 "$(stranger "$kind" "${url%/}/b")"
    # and a holder that cannot look any more
    kill -STOP "$(pid_of daemon)"
  fi
  taken=$(second attach of-b/b --transport loop --force)
  dd if=/dev/urandom of="$taken" bs=64k count=16 oflag=direct status=none
  local before
  before=$(sha256sum < "$folder/b")
  [ "$how" != locked ] || kill -CONT "$(pid_of daemon)"
  # at once, and not at the next look at the record
  refuses dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct
  wait_for 20 "the fencing of the first host" first_is_fenced
  refuses dd if="$device" of=/dev/null bs=4k count=1 iflag=direct
  equal "the file after the fenced write" "$before" "$(sha256sum < "$folder/b")"
  restblk detach main/b --force
  dd if=/dev/urandom of="$taken" bs=4k count=1 oflag=direct status=none
  second detach of-b/b
  equal "holders left" null "$(restblk -o json show main/b | jq .attached_by)"
  restblk delete main/b
  stop second
}
first_is_fenced() { restblk -o json devices | jq -e '.[0].state == "fenced"'; }
# stranger KIND URL: what a program without the lock's token is told when it writes to a volume's file: the status.
stranger() {
  local write=PUT
  [ "$1" != cdmi ] || write=PATCH
  curl -s -o /dev/null -w '%{http_code}' -X "$write" -H 'Content-Range: bytes 0-3/*' -d evil "$2"
}
