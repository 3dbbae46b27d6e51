#!/usr/bin/env bash
# A volume changes its layout: mounted, and not attached; the daemon's death, a cancel, and what is refused.
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
need mkfs.ext4 e2fsck jq
need_loop

share_mounts
start_store
start_daemon "lease_check_s = 1" "[control]" "enabled = false" "[journal]" 'size = "64M"'
restblk -q pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
restblk -q create main/a 64M
shown() { restblk -o json show main/a | jq -r "$1"; }
equal "the block size" 512 "$(shown .block_size)"
device=$(restblk -q attach main/a --transport loop)
mkfs.ext4 -q -F "$device"
mkdir "$WORK/mnt"
mount "$device" "$WORK/mnt"
cp -r "$RESTBLK_ROOT/docs" "$WORK/mnt/docs"
before=$(tree_hash "$RESTBLK_ROOT/docs")
id=$(shown .id)

say "direct to log, mounted"
refuses -c 6 -m 'already' restblk convert main/a --to direct
equal "what it says" "main/a: log" "$(restblk convert main/a --to log)"
equal "its layout, id, block size and durability" "log $id 512 remote" "$(shown '[.layout, .id, .block_size, .durability] | join(" ")')"
[ ! -e "$WORK/store/a" ] || fail "the file of the direct volume is still there"
dd if=/dev/urandom of="$WORK/mnt/new" bs=1M count=8 status=none conv=fsync
new=$(sha256sum < "$WORK/mnt/new")
umount "$WORK/mnt"
e2fsck -fn "$device" > "$WORK/fsck.log" 2>&1 || fail "the file system is not clean: $(tail -n 5 "$WORK/fsck.log")"
# sectors of 512 bytes above blocks of 4096
dd if=/dev/urandom of="$WORK/sector" bs=512 count=1 status=none
dd if="$WORK/sector" of="$device" bs=512 seek=1 oflag=direct conv=notrunc status=none
equal "a sector" "$(sha256sum < "$WORK/sector")" "$(dd if="$device" bs=512 skip=1 count=1 iflag=direct status=none | sha256sum)"

say "what is refused"
restblk -q snapshot create main/a@monday
refuses -c 5 -m 'has 1 snapshots' restblk convert main/a --to direct
restblk -q clone main/a@monday main/clone
equal "the clone's block size" 512 "$(restblk -o json show main/clone | jq .block_size)"
restblk -q snapshot delete main/a@monday --yes
refuses -c 5 -m 'cloned from it' restblk convert main/a --to direct
restblk -q detach main/a

say "a clone becomes a file, while it is not attached"
restblk -q convert main/clone --to direct
equal "the clone's layout" direct "$(restblk -o json show main/clone | jq -r .layout)"
e2fsck -fn "$WORK/store/clone" > "$WORK/fsck.log" 2>&1 || fail "the clone's file is not clean: $(tail -n 5 "$WORK/fsck.log")"
(umask 077; head -c 32 /dev/urandom > "$WORK/key")
restblk -q create main/secret 16M --layout log --encrypt --key-file "$WORK/key"
device=$(restblk -q attach main/secret --key-file "$WORK/key" --transport loop)
refuses -c 11 -m 'encrypted' restblk convert main/secret --to direct
restblk -q detach main/secret

say "log to direct, mounted, slowly; taken back; and with the daemon's death"
device=$(restblk -q attach main/a --transport loop)
mount "$device" "$WORK/mnt"
slowly() { restblk -q convert main/a --to direct --rate 4M > "$WORK/convert.txt" 2>&1 & command=$!; }
is_copying() { [ "$(shown .conversion.stage)" = copying ] && [ "$(shown '.conversion.done // 0')" -gt 0 ]; }
slowly
wait_for 20 "the copy" is_copying
restblk show main/a | grep -q 'Conversion.*to direct: copying' || fail "show does not tell how far it is: $(restblk show main/a)"
refuses -c 5 -m 'conversion is not done' restblk extend main/a 128M
refuses -c 5 -m 'being changed' restblk snapshot create main/a@now
restblk -q convert main/a --cancel
! wait $command || fail "a conversion that was taken back ended well"
grep -q 'as it was' "$WORK/convert.txt" || fail "it says: $(cat "$WORK/convert.txt")"
equal "its layout after that" "log null" "$(shown '[.layout, .conversion | tostring] | join(" ")')"
[ ! -e "$WORK/store/a" ] || fail "the file of the conversion that was taken back is still there"
refuses -c 3 -m 'none is under way' restblk convert main/a --cancel
slowly
wait_for 20 "the copy" is_copying
dd if=/dev/urandom of="$WORK/mnt/newer" bs=1M count=4 status=none conv=fsync
newer=$(sha256sum < "$WORK/mnt/newer")
crash daemon
wait $command || true
start_daemon
is_direct() { [ "$(shown '[.layout, .conversion | tostring] | join(" ")')" = "direct null" ]; }
wait_for 60 "the end of the conversion by the next daemon" is_direct
equal "what is on it" "$before $new $newer" "$(tree_hash "$WORK/mnt/docs") $(sha256sum < "$WORK/mnt/new") $(sha256sum < "$WORK/mnt/newer")"
[ -z "$(find "$WORK/state/journal" -type f)" ] || fail "a journal stays although the volume has none"
umount "$WORK/mnt"
restblk -q detach main/a
e2fsck -fn "$WORK/store/a" > "$WORK/fsck.log" 2>&1 || fail "the file is not clean: $(tail -n 5 "$WORK/fsck.log")"

say "one that was cut off and nobody goes on with"
restblk -q convert main/a --to log --rate 1M > "$WORK/convert.txt" 2>&1 &
command=$!
wait_for 20 "the copy" is_copying
refuses -c 5 -m 'something is done to it' restblk delete main/a --yes
crash daemon
wait $command || true
start_daemon
is_told() { restblk check main/a | grep -q 'left-over.*layout is not done'; }
wait_for 20 "the word of what is left over" is_told
restblk -q delete main/a --yes
restblk -q delete main/clone --yes
restblk -q delete main/secret --yes
[ -z "$(find "$WORK/store/.restblk/vol" -path '*/log/*' -type f)" ] || fail "objects stay: $(find "$WORK/store" -type f)"
[ ! -e "$WORK/store/a" ] || fail "the volume's file stays"
