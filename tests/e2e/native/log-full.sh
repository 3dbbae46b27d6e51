#!/usr/bin/env bash
# Nothing can be written to the daemon's log, whose disk is full: lines are lost, and volumes are served all the same.
. "$RESTBLK_ROOT/tests/lib.sh"
need jq
need_loop

ln -s /dev/full "$WORK/daemon.log"
start_store
start_daemon "[control]" "enabled = false"
restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
for layout in direct log; do
  restblk -q create "main/$layout" 32M --layout $layout
  device=$(restblk -q attach "main/$layout" --transport loop)
  head -c 8M /dev/urandom > "$WORK/data"
  dd if="$WORK/data" of="$device" bs=1M oflag=direct conv=fsync status=none
  # it ends, and its successor says so, too
  crash daemon
  start_daemon
  wait_for 20 "the device's return" eval '[ "$(restblk -o json devices | jq -r ".[0].state")" = active ]'
  cmp -n $((8 << 20)) "$WORK/data" "$device"
  restblk -q detach "main/$layout"
  restblk -q delete --yes "main/$layout"
done
is_running daemon || fail "the daemon has ended"
