# shellcheck shell=bash
# What guest tests of the real daemon share: sourced after tests/lib.sh. A test goes through TRANSPORTS ("ublk nbd"), one after
# the other, in one guest: a boot costs more than most tests. Claims under tests/show run the same tests with one transport.

TRANSPORTS=${TRANSPORTS:-ublk nbd}

# start_host: a store, a daemon with the system's own device names, and the pool main.
start_host() {
  printf '%s\n' "state_dir = \"$WORK/state\"" "run_dir = \"$WORK/run\"" "[control]" "enabled = false" > "$WORK/restblk.toml"
  start_store
  start_daemon
  restblk pool create main --url "$STORE_URL/cdmi/2.0.0/"
}
# initiator: this machine can be an initiator of iSCSI, and serve targets by configfs.
initiator() {
  mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
  mkdir -p /etc/iscsi /run/lock/iscsi
  echo "InitiatorName=iqn.2014-08.org.example:initiator" > /etc/iscsi/initiatorname.iscsi
  is_running iscsid || start iscsid iscsid -f
}
# attach TRANSPORT NAME SIZE: a new volume as a device; DEVICE is its stable path, NODE the kernel's.
attach() {
  restblk create "main/$2" "$3"
  DEVICE=$(restblk attach "main/$2" --transport "$1" 2> "$WORK/attach.log") || fail "attach: $(cat "$WORK/attach.log")"
  equal "the stable path" "/dev/restblk/main/$2" "$DEVICE"
  NODE=$(readlink -f "$DEVICE")
  [ -b "$NODE" ] || fail "$DEVICE leads to no device"
  case $1:$NODE in ublk:/dev/ublkb* | nbd:/dev/nbd*) ;; *) fail "$1 made $NODE" ;; esac
}
# daemon_again: starts it after a stop or a crash; returns when the device is served again by the same node.
daemon_again() {
  start_daemon
  wait_for 60 "the device's return" is_active "${DEVICE#/dev/restblk/}"
  equal "the device's node" "$NODE" "$(readlink -f "$DEVICE")"
}
is_active() { [ "$(restblk -o json devices | jq -r --arg volume "$1" '.[] | select(.volume == $volume).state')" = active ]; }
# end_of VOLUME: nothing stays of it.
end_of() {
  restblk detach "$1"
  [ ! -e "/dev/restblk/$1" ] || fail "/dev/restblk/$1 is still there"
  restblk delete --yes "$1"
}
# fsck KIND: DEVICE must be clean.
fsck() {
  case $1 in
    ext4) e2fsck -fn "$DEVICE" ;;
    xfs) xfs_repair -n "$DEVICE" ;;
    btrfs) btrfs check "$DEVICE" ;;
  esac > "$WORK/fsck.log" 2>&1 || fail "the $1 is not clean: $(tail -n 5 "$WORK/fsck.log")"
}
# same_tree A B: the same names, kinds, modes, links and bytes. Emulated processors take long to hash, and not to compare.
same_tree() {
  local list='%y %m %p %l\n'
  diff <(cd "$1" && find . -printf "$list" | LC_ALL=C sort) <(cd "$2" && find . -printf "$list" | LC_ALL=C sort) > "$WORK/diff.log" &&
    diff -r --no-dereference "$1" "$2" > "$WORK/diff.log" || fail "$2 is not $1: $(tail -n 5 "$WORK/diff.log")"
}
# verified RESULT: fio's JSON says that it saw no error and read something back; prints MiB written and verified.
verified() {
  local error read
  error=$(jq '[.jobs[].error] | add' "$1") read=$(jq '[.jobs[].read.io_bytes] | add' "$1")
  equal "fio's error" 0 "$error"
  [ "$read" -gt 0 ] || fail "fio verified nothing"
  jq -r '"\([.jobs[].write.io_bytes] | add / 1048576 | floor) \([.jobs[].read.io_bytes] | add / 1048576 | floor)"' "$1"
}
# quiet_kernel: it must not have complained of a device, a file system or itself.
quiet_kernel() {
  ! dmesg | grep -E 'I/O error|EXT4-fs error|XFS.*(error|corrupt)|BTRFS.*error|WARNING:|BUG:|hung task|blocked for more' || fail 'the kernel complained'
}
