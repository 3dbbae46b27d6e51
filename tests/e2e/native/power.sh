#!/usr/bin/env bash
# The store loses its power between a write that it acknowledged and the flush: the flush fails, the device ends, and the
# message says what next. A store that is killed or shut down and started again loses nothing, and nothing ends.
# timeout: 180
. "$RESTBLK_ROOT/tests/lib.sh"
need jq python3
need_loop

start_store
start_daemon "[control]" "enabled = false"
restblk pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
restblk pool show main | grep -q 'a power loss between a write and its flush is noticed' || fail "pool show does not tell whether a loss is noticed"
restblk create main/a 16M
device=$(restblk attach main/a --transport loop)

# write BYTE: past every cache, and not flushed
write() { head -c 4096 /dev/zero | tr '\0' "$1" | dd of="$device" bs=4096 count=1 seek=3 oflag=direct conv=notrunc status=none; }
flush() { python3 -c 'import os, sys; os.fsync(os.open(sys.argv[1], os.O_RDWR))' "$device"; }
state() { restblk -o json devices | jq -r '.[0].state'; }

write a
flush
say "the store is killed and starts again: same boot, nothing lost"
write b
crash store
start_store
flush
say "the store is shut down and starts again"
write c
stop store
start_store
write d
flush
equal "the device's state" active "$(state)"

say "the store's machine loses its power and comes back before the flush"
write e
crash store
start_store --instance 7
refuses flush
refuses write f
grep -q 'lost its power' "$WORK/daemon.log" || fail "the daemon's log does not say why"
restblk devices -o json > "$WORK/devices.json"
jq -e '.[0] | tostring | test("a flush failed, so written data may be lost") and test("fsck")' "$WORK/devices.json" \
  || fail "devices does not say what happened: $(cat "$WORK/devices.json")"

say "attached again, it works, with the store as it is now"
restblk detach main/a
device=$(restblk attach main/a --transport loop)
write g
flush
restblk detach main/a
equal "what the store has" gggg "$(dd if="$WORK/store/a" bs=4 count=1 skip=3072 status=none)"
