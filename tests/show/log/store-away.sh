#!/usr/bin/env bash
# claim: the store of a log volume is down for an hour while a file system on it is written to: no error, no loss, and all of it comes to the store by itself afterwards
# timeout: 5400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/log.sh"
need mkfs.ext4 e2fsck jq python3
need_loop

away=${AWAY_SECONDS:-3600}
share_mounts
start_store
# what was read before is in the host's cache: the kernel's own may be given up for other programs within an hour
start_daemon "lease_check_s = 5" "[control]" "enabled = false" "[journal]" 'size = "512M"' "[cache]" 'size = "1G"' "[memory]" 'limit = "2G"'
restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
log_filled a 512M
sync -f "$WORK/mnt"

# a program that writes and syncs several times a second, and knows what it wrote
cat > "$WORK/program.py" << 'END'
import hashlib, os, random, sys, time
path, end, chance = sys.argv[1], time.time() + float(sys.argv[2]), random.Random(int(sys.argv[3]))
LEN = 128 << 20
file, shadow, writes, slowest = os.open(path, os.O_CREAT | os.O_RDWR), bytearray(LEN), 0, 0.0
os.ftruncate(file, LEN)
while time.time() < end:
    for _ in range(4):
        at, data = chance.randrange(LEN // 16384) * 16384, chance.randbytes(16384)
        os.pwrite(file, data, at)
        shadow[at:at + 16384] = data
        writes += 1
    begun = time.time()
    os.fsync(file)
    slowest = max(slowest, time.time() - begun)
    time.sleep(0.6)
print(writes, int(slowest * 1000), hashlib.sha256(shadow).hexdigest())
END
restblk -q cache warm main/a
start program python3 "$WORK/program.py" "$WORK/mnt/file" $((away + 20)) "$(date +%s)"
sleep 5
crash store
say "the store is away for $away s"
sleep "$away"
is_running program || fail "the program has ended: $(tail -n 5 "$WORK/program.log")"
[ "$(restblk -o json devices | jq -r '.[0].state')" = active ] || fail "the device is not active: $(restblk devices)"
equal "what was on the volume before, without its store" "$before" "$(tree_hash "$WORK/mnt/docs")"
told=$(grep -c 'no mirror works' "$WORK/daemon.log")
[ "$told" -gt 0 ] || fail "the daemon's log does not tell of the outage"
lines=$(wc -l < "$WORK/daemon.log")
start_store
wait_for 300 "the end of the program" not_running program
read -r written slowest sum < "$WORK/program.log" || true
[ -n "${sum:-}" ] || fail "the program had an error: $(tail -n 5 "$WORK/program.log")"
umount "$WORK/mnt"
restblk -q detach main/a
[ -z "$(ls "$WORK/state/journal")" ] || fail "something is in the journal alone: $(ls -l "$WORK/state/journal")"

say "another host, which has nothing but the store"
stop daemon
rm -r "$WORK/state" "$WORK/restblk.toml"
start_daemon "[control]" "enabled = false"
restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
device=$(restblk -q attach main/a --transport loop)
e2fsck -fn "$device" > "$WORK/fsck.log" 2>&1 || fail "the file system is not clean there: $(tail -n 3 "$WORK/fsck.log")"
mount "$device" "$WORK/mnt"
equal "what the program wrote, there" "$sum" "$(sha256sum < "$WORK/mnt/file" | cut -d' ' -f1)"
equal "what was on it before, there" "$before" "$(tree_hash "$WORK/mnt/docs")"
umount "$WORK/mnt"
restblk -q detach main/a
figure "the store was away for $away s: $written writes with syncs went on (the slowest sync took $slowest ms), all of it is on the store, verified on another host; the log told $told times in $lines lines"
