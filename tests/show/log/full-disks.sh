#!/usr/bin/env bash
# claim: a full disk for the journal, a full disk for the cache and a full store are told, lose nothing, and are gone on from by themselves
# timeout: 900
. "$RESTBLK_ROOT/tests/lib.sh"
need fio jq
need_loop

share_mounts
for disk in journal cache store; do mkdir "$WORK/$disk"; done
mount -t tmpfs -o size=48M none "$WORK/journal"
mount -t tmpfs -o size=40M none "$WORK/cache"
mount -t tmpfs -o size=64M none "$WORK/store"
start_store
start_daemon "lease_check_s = 5" "[control]" "enabled = false" "[journal]" "folder = \"$WORK/journal\"" 'size = "40M"' "[cache]" "folder = \"$WORK/cache\"" 'size = "64M"'
restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
restblk -q create main/a 128M --layout log

say "no space for the journal"
dd if=/dev/zero of="$WORK/journal/others" bs=1M count=20 status=none
refuses -c 9 -m 'journal.*No space' restblk attach main/a --transport loop
equal "who has it after that" null "$(restblk -o json show main/a | jq .attached_by)"
equal "what is left of the journal" others "$(ls "$WORK/journal")"
rm "$WORK/journal/others"
device=$(restblk -q attach main/a --transport loop)

say "the cache's disk and the store's become full under fio"
start fio fio --name=f --filename="$device" --aux-path="$WORK" --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bs=16k --size=128M --fsync=64 \
  --verify=crc32c --verify_state_save=0 --verify_fatal=1 --output-format=json --output="$WORK/fio.json"
is_told() { grep -q 'an upload is tried again' "$WORK/daemon.log"; }
wait_for 120 "the log's word of the full store" is_told
# what is written goes into the journal until that is full; then writers wait
written() { awk '{ print $7 }' "/sys/block/$(basename "$(readlink -f "$device")")/stat"; }
was=-1
until [ "$(written)" = "$was" ]; do
  was=$(written)
  sleep 3
done
is_running fio || fail "fio had an error: $(tail -n 5 "$WORK/fio.log")"
equal "the device's state while the store is full" active "$(restblk -o json devices | jq -r '.[0].state')"
[ "$(restblk -o json cache show | jq .failed)" -gt 0 ] || fail "the cache's disk is not full: $(df "$WORK/cache")"
begun=$(elapsed_ms)
mount -o remount,size=400M none "$WORK/store"
went_on() { [ "$(written)" != "$was" ]; }
wait_for 60 "writes after the store has space" went_on
waited=$(($(elapsed_ms) - begun))
wait_for 300 "the end of fio" not_running fio
jq -e '.jobs[0].error == 0 and .jobs[0].read.io_bytes > 0' "$WORK/fio.json" > "$WORK/jq.txt" || fail "fio had an error: $(tail -n 5 "$WORK/fio.log")"
restblk -q create main/b 16M --layout log
restblk -q detach main/a
equal "what is left of the journal at the end" "" "$(ls "$WORK/journal")"
device=$(restblk -q attach main/a --transport loop)
fio --name=f --filename="$device" --aux-path="$WORK" --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bs=16k --size=128M --fsync=64 \
  --verify=crc32c --verify_only=1 --verify_fatal=1 > "$WORK/again.txt" 2>&1 || fail "read again: $(tail -n 5 "$WORK/again.txt")"
figure "a full journal disk refused the attach, a full cache disk was met $(restblk -o json cache show | jq .failed) times, a full store made writers wait, which went on $waited ms after it had space; all verified"
