#!/usr/bin/env bash
# The cache of log volumes: a volume is read without its store, also after a restart and by a clone; a damaged disk, a full one and one that stands still cost nothing but time.
# timeout: 200
. "$RESTBLK_ROOT/tests/lib.sh"
need fio fsfreeze jq mkfs.ext4
need_loop

share_mounts
start_store
mkdir "$WORK/disk"
mount -t tmpfs -o size=160M none "$WORK/disk"
start_daemon "lease_check_s = 600" "[control]" "enabled = false" "[journal]" 'size = "32M"' "[cache]" "folder = \"$WORK/disk/cache\"" 'size = "128M"'
restblk -q pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
restblk -q create main/a 64M --layout log

# of FIGURE: what `cache show` says
of() { restblk -o json cache show | jq ".$1"; }
# all_of VOLUME: a hash over it, read past the page cache
all_of() { dd if="$WORK/dev/main/$1" bs=1M iflag=direct status=none | sha256sum; }

say "what was written is in the cache, and what was read"
device=$(restblk -q attach main/a --transport loop)
fio --name=w --filename="$device" --aux-path="$WORK" --direct=1 --rw=randwrite --bs=16k --size=48M --end_fsync=1 --randrepeat=0 > "$WORK/fio.log"
before=$(all_of a)
restblk -q snapshot create main/a@then
restblk -q detach main/a
restart() { stop daemon; start_daemon; }
restart
restblk -q attach main/a --transport loop > "$WORK/device"
misses=$(of misses)
equal "the volume after a restart" "$before" "$(all_of a)"
[ "$(of hits)" -gt 500 ] || fail "only $(of hits) hits after a restart: $(restblk cache show)"
equal "pieces that were read from the store" "$misses" "$(of misses)"

say "a clone has its parent's"
restblk -q clone main/a@then main/b
restblk -q attach main/b --transport loop > "$WORK/device"
misses=$(of misses)
equal "the clone" "$before" "$(all_of b)"
# the first pages of its map are its own
[ "$(of misses)" -le $((misses + 8)) ] || fail "the clone was read from the store: $(restblk cache show)"
restblk -q detach main/b

say "a cache that was lost is filled again"
restblk -q detach main/a
stop daemon
rm "$WORK/disk/cache/cache"
start_daemon
restblk -q cache warm main/a
said=$(restblk cache warm main/a 2>&1)
[[ $said = *"read 0"* ]] || fail "what is in the cache was read again: $said"
restblk -q attach main/a --transport loop > "$WORK/device"
hits=$(of hits)
equal "the volume from the warmed cache" "$before" "$(all_of a)"
[ "$(of hits)" -gt $((hits + 500)) ] || fail "the warmed cache was not used: $(restblk cache show)"

say "a disk that lies"
restblk -q detach main/a
stop daemon
python3 - "$WORK/disk/cache/cache" << 'END'
import os, sys
file = os.open(sys.argv[1], os.O_RDWR)
for region in range(0, os.fstat(file).st_size, 4 << 20):
    for at in range(region + (40 << 10), region + (4 << 20), 5000):
        os.pwrite(file, b"lie", at)
END
start_daemon
restblk -q attach main/a --transport loop > "$WORK/device"
equal "the volume from a damaged cache" "$before" "$(all_of a)"
# a few in each segment, which is read whole then
[ "$(of damaged)" -gt 30 ] || fail "the damage was not found: $(restblk cache show)"

say "a disk that is full"
dd if=/dev/zero of="$WORK/disk/others" bs=1M status=none 2> "$WORK/full" || true
fio --name=w --filename="$(cat "$WORK/device")" --aux-path="$WORK" --direct=1 --rw=randwrite --bs=64k --size=60M --loops=4 --verify=crc32c --verify_state_save=0 \
  --end_fsync=1 > "$WORK/fio.log" || fail "a full cache disk: $(tail -n 5 "$WORK/fio.log")"
[ "$(of failed)" -gt 0 ] || fail "the full disk was not met: $(restblk cache show)"
grep -q "cache's disk cannot write" "$WORK/daemon.log" || fail "the daemon's log does not tell of it"
rm "$WORK/disk/others"
after=$(all_of a)
restblk -q cache warm main/a
failed=$(of failed)
equal "the volume after that" "$after" "$(all_of a)"
equal "failures once there is space" "$failed" "$(of failed)"

say "a disk that stands still"
restblk -q detach main/a
stop daemon
mkdir "$WORK/still"
truncate -s 256M "$WORK/still.img"
mkfs.ext4 -q "$WORK/still.img"
mount -o loop "$WORK/still.img" "$WORK/still"
rm "$WORK/restblk.toml"
start_daemon "[control]" "enabled = false" "[cache]" "folder = \"$WORK/still/cache\"" 'size = "128M"'
restblk -q attach main/a --transport loop > "$WORK/device"
fsfreeze -f "$WORK/still"
timeout 60 dd if="$WORK/dev/main/a" bs=1M iflag=direct status=none | sha256sum > "$WORK/hash" || late=yes
fsfreeze -u "$WORK/still"
[ -z "${late:-}" ] || fail "nobody reads while the cache's disk stands still"
equal "the volume beside a disk that stands still" "$after" "$(cat "$WORK/hash")"
grep -q "cache's disk takes nothing" "$WORK/daemon.log" || fail "the daemon's log does not tell of it"

say "without a cache"
restblk -q detach main/a
stop daemon
umount "$WORK/still"
rm "$WORK/restblk.toml"
start_daemon "[control]" "enabled = false"
refuses -c 3 -m 'no cache' restblk cache show
refuses -c 11 -m '\[cache\]' restblk cache warm main/a
