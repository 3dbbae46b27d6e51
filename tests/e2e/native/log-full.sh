#!/usr/bin/env bash
# Nothing can be written to the log of daemon and store, whose disk is full: lines are lost, and volumes are served all the same.
. "$RESTBLK_ROOT/tests/lib.sh"
need jq
need_loop

for name in daemon store; do ln -s /dev/full "$WORK/$name.log"; done
mkdir -p "$WORK/store"
port=$(free_port)
start store "$RESTBLK" serve "$WORK/store" --listen "127.0.0.1:$port" --quiet
wait_for 20 "the store's answer" started_and_answers store "http://127.0.0.1:$port/"
start_daemon "[control]" "enabled = false"
restblk -q pool create main --url "http://127.0.0.1:$port/cdmi/2.0.0/"
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
is_running daemon && is_running store || fail "one of them has ended"
