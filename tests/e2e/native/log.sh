#!/usr/bin/env bash
# A volume of the log layout: file system, snapshots and rollback, the daemon's death, the store's outage, another host, the end.
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/log.sh"
need mkfs.ext4 e2fsck fio jq
need_loop

share_mounts
start_store
start_daemon "lease_check_s = 1" "[control]" "enabled = false" "[journal]" 'size = "64M"'
restblk -q pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
refuses -c 11 -m 'blocks of 4096' restblk create main/a 1G --layout log --block-size 512
log_filled a 1G
equal "the layout" log "$(restblk -o json show main/a | jq -r .layout)"
mkdir "$WORK/then"

say "a snapshot of a mounted file system"
fsfreeze -f "$WORK/mnt"
restblk -q snapshot create main/a@monday
fsfreeze -u "$WORK/mnt"
refuses -c 4 -m 'there is one of this name' restblk snapshot create main/a@monday
refuses -c 5 -m 'restblk detach main/a' restblk delete main/a --yes
rm -r "$WORK/mnt/docs"
dd if=/dev/urandom of="$WORK/mnt/new" bs=1M count=32 status=none conv=fsync
old=$(restblk -q attach main/a@monday --transport loop)
equal "the snapshot's name" "$WORK/dev/main/a@monday" "$old"
mount -o ro,noload "$old" "$WORK/then"
equal "what the snapshot has" "$before" "$(tree_hash "$WORK/then/docs")"
refuses dd if=/dev/zero of="$old" bs=4k count=1 oflag=direct
refuses -c 5 -m 'attached' restblk snapshot delete main/a@monday --yes

say "snapshots of two volumes at one moment, or of none"
restblk -q create main/second 64M --layout log
restblk -q snapshot create main/a@both main/second@both
equal "snapshots of the second" both "$(restblk -o json snapshot list main/second | jq -r '.[].snapshot | split("@")[1]')"
refuses -c 4 -m 'there is one of this name' restblk snapshot create main/second@again main/a@both
equal "snapshots of the second after that" 1 "$(restblk -o json snapshot list main/second | jq length)"
refuses -c 6 -m 'named twice' restblk snapshot create main/a@x main/a@y
restblk -q snapshot delete main/a@both --yes
restblk -q snapshot delete main/second@both --yes
restblk -q delete main/second --yes

say "the daemon dies under fio"
start writer fio --name=w --directory="$WORK/mnt" --aux-path="$WORK" --size=12M --bs=4k --rw=randwrite --ioengine=psync --fsync=8 \
  --verify=crc32c --verify_state_save=0 --loops=2
are_active() { restblk -o json devices | jq -e 'length == 2 and all(.state == "active")'; }
for round in 1 2 3; do
  sleep 1
  crash daemon
  sleep 0.3
  start_daemon
  wait_for 30 "the recovery of both devices, round $round" are_active
done
equal "what the snapshot has after that" "$before" "$(tree_hash "$WORK/then/docs")"
wait_for 120 "the end of the writer" not_running writer
grep -q 'err= 0' "$WORK/writer.log" || fail "fio saw an error: $(tail -n 5 "$WORK/writer.log")"

say "the store is away: writes and flushes go on, and nothing is let go"
crash store
dd if=/dev/urandom of="$WORK/mnt/away" bs=1M count=8 status=none conv=fsync
away=$(sha256sum < "$WORK/mnt/away")
umount "$WORK/mnt" "$WORK/then"
refuses -c 8 -m 'not on the store after' restblk detach main/a
restblk -q detach main/a@monday
restblk -q detach main/a --force
[ "$(find "$WORK/state/journal" -type f | wc -l)" = 1 ] || fail "there is no journal although the store has not all"
start_store
device=$(restblk -q attach main/a --transport loop)
mount "$device" "$WORK/mnt"
equal "what was written while the store was away" "$away" "$(sha256sum < "$WORK/mnt/away")"

say "a larger volume under the mounted file system"
restblk -q extend main/a 1280M
equal "the device's size" $((1280 << 20)) "$(blockdev --getsize64 "$device")"
refuses -c 5 -m 'detach main/a first' restblk snapshot rollback main/a@monday --yes
umount "$WORK/mnt"
e2fsck -fn "$device" > "$WORK/fsck.log" 2>&1 || fail "the file system is not clean: $(tail -n 5 "$WORK/fsck.log")"
restblk -q detach main/a
[ -z "$(find "$WORK/state/journal" -type f)" ] || fail "a journal stays although the store has all"

say "back to the snapshot, while nobody has it attached"
restblk -q snapshot create main/a@tuesday
restblk -q snapshot protect main/a@tuesday
refuses -c 5 -m 'protected' restblk snapshot delete main/a@tuesday --yes
restblk -q snapshot rollback main/a@monday --yes
equal "its size" $((1 << 30)) "$(restblk -o json show main/a | jq .size)"
device=$(restblk -q attach main/a --transport loop)
mount "$device" "$WORK/mnt"
equal "what was rolled back to" "$before" "$(tree_hash "$WORK/mnt/docs")"
[ ! -e "$WORK/mnt/new" ] || fail "what was written after the snapshot is still there"

say "a clone of the snapshot, and of the clone"
restblk -q clone main/a@monday main/b
other=$(restblk -q attach main/b --transport loop)
mount "$other" "$WORK/then"
equal "what the clone has" "$before" "$(tree_hash "$WORK/then/docs")"
dd if=/dev/urandom of="$WORK/then/own" bs=1M count=4 status=none conv=fsync
own=$(sha256sum < "$WORK/then/own")
restblk -q snapshot create main/b@first
umount "$WORK/then"
restblk -q clone main/b@first main/c
restblk -q detach main/b
restblk -q snapshot delete main/a@tuesday --yes 2> /dev/null && fail "a protected snapshot was deleted"
refuses -c 5 -m 'snapshots' restblk delete main/b --yes
restblk -q volume flatten main/c
restblk -q snapshot delete main/b@first --yes
restblk -q delete main/b --yes
third=$(restblk -q attach main/c --transport loop)
mount "$third" "$WORK/then"
equal "what the clone of the clone has" "$own" "$(sha256sum < "$WORK/then/own")"
equal "and its tree" "$before" "$(tree_hash "$WORK/then/docs")"
umount "$WORK/then"
restblk -q detach main/c
restblk -q delete main/c --yes

say "another host takes it"
mkdir -p "$WORK/b/run"
printf '%s\n' "state_dir = \"$WORK/b/state\"" "run_dir = \"$WORK/b/run\"" "dev_dir = \"$WORK/b/dev\"" "[control]" "enabled = false" > "$WORK/b/restblk.toml"
start other "$RESTBLK" daemon --config "$WORK/b/restblk.toml"
other() { RESTBLK_SOCKET=$WORK/b/run/api.sock "$RESTBLK" -q "$@"; }
wait_for 20 "the other daemon's answer" other list
other pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
refuses -c 5 -m 'another host holds it' other attach main/a --transport loop
refuses -c 5 -m 'another host holds it' other snapshot create main/a@wednesday
equal "the snapshots that it sees" '["monday","tuesday"]' "$(other -o json snapshot list main/a | jq -c '[.[].snapshot | split("@")[1]]')"
dd if=/dev/urandom of="$WORK/mnt/mine" bs=1M count=4 status=none conv=fsync
umount "$WORK/mnt"
taken=$(other attach main/a --transport loop --force)
is_fenced() { restblk -o json devices | jq -e '.[0].state == "fenced"'; }
wait_for 10 "the fencing of the first host" is_fenced
refuses dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct,sync
restblk -q detach main/a --force
e2fsck -fn "$taken" > "$WORK/fsck.log" 2>&1 || e2fsck -fy "$taken" > "$WORK/fsck.log" 2>&1 || [ $? = 1 ] || fail "the other host's file system is broken: $(tail -n 5 "$WORK/fsck.log")"
other detach main/a
stop other

say "the end"
refuses -c 5 -m 'it has 2 snapshots' restblk delete main/a --yes
restblk -q snapshot unprotect main/a@tuesday
restblk -q snapshot delete main/a@tuesday --yes
restblk -q snapshot delete main/a@monday --yes
restblk -q delete main/a --yes
# what fences former writers stays: an object for each epoch, and one for the volume
left=$(find "$WORK/store/.restblk/vol" -type f)
grep -qv '/head/\|/epoch/0000000001$' <<< "$left" && fail "more than tombstones is left on the store: $left"
equal "journals left" "" "$(find "$WORK/state/journal" "$WORK/b/state/journal" -type f)"
