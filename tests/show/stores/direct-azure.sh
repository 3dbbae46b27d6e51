#!/usr/bin/env bash
# claim: a direct volume lives on an Azure page blob through the loop device, and a forced attach elsewhere fences its first host by the blob's lease
# timeout: 400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/servers/install.sh"
. "$RESTBLK_ROOT/tests/servers/azurite.sh"
need mkfs.ext4 e2fsck curl jq openssl
need_loop

start_azurite
azurite_container vols
# the blob as everybody else sees it: its kind, size and lease
blob() { azurite_curl "vols/pool/$1" -I | tr -d '\r' | awk -v name="$2:" 'tolower($1) == name { print $2 }'; }
pool() { "$1" pool create "$2" --store azure --url "$AZURITE_URL/vols/pool" --user "$AZURITE_ACCOUNT" --password-file "$AZURITE_KEY_FILE"; }

say "the life of a volume"
# the lease alone must do it: the first host looks after its record once an hour
start_daemon "lease_check_s = 3600" "[control]" "enabled = false"
pool restblk main
restblk -o json pool show main | jq -e '.proven | .write_in_place and .fences and .punch and .flush and .exclusive_create and .notes == []' > "$WORK/jq" || fail "$(restblk pool show main)"
restblk create main/a 128M
equal "the kind of the blob" PageBlob "$(blob a x-ms-blob-type)"
equal "its size" $((128 << 20)) "$(blob a content-length)"
device=$(restblk attach main/a --transport loop)
equal "its lease while attached" leased "$(blob a x-ms-lease-state)"
mkfs.ext4 -q -F "$device"
mkdir -p "$WORK/mnt"
mount "$device" "$WORK/mnt"
cp -r "$RESTBLK_ROOT/docs" "$WORK/mnt/docs"
sync -f "$WORK/mnt"
refuses -c 5 -m 'mounted on' restblk detach main/a
refuses -c 5 -m 'attached to this host' restblk delete main/a
restblk extend main/a 192M
equal "the device's size while mounted" $((192 << 20)) "$(blockdev --getsize64 "$device")"
equal "the blob's size" $((192 << 20)) "$(blob a content-length)"
umount "$WORK/mnt"
# what the device was told is written is the blob: any other program can read it
azurite_curl vols/pool/a -o "$WORK/image"
e2fsck -fn "$WORK/image" > "$WORK/fsck.log" 2>&1 || fail "the blob is no clean file system"
used=$(azurite_curl 'vols/pool/a?comp=pagelist' | grep -o '<Start>' | wc -l)
[ "$used" -gt 0 ] || fail "the blob has no pages"
mount "$device" "$WORK/mnt"
equal "the tree" "$(tree_hash "$RESTBLK_ROOT/docs")" "$(tree_hash "$WORK/mnt/docs")"
rm -r "$WORK/mnt/docs"
fstrim "$WORK/mnt" || fail "the device takes no discard"
umount "$WORK/mnt"

say "the daemon dies and takes its volume again"
restblk detach main/a
device=$(restblk attach main/a --transport loop --persist)
crash daemon
start_daemon
wait_for 30 "the volume's return" bash -c "RESTBLK_SOCKET=$WORK/run/api.sock '$RESTBLK' -o json devices | jq -e '.[0].state == \"active\"'"
device=$(restblk -o json devices | jq -r '.[0].device')
dd if=/dev/urandom of="$device" bs=4k count=8 oflag=direct status=none

say "another host takes it by force"
mkdir -p "$WORK/b/run"
printf '%s\n' "state_dir = \"$WORK/b/state\"" "run_dir = \"$WORK/b/run\"" "dev_dir = \"$WORK/b/dev\"" "[control]" "enabled = false" > "$WORK/b/restblk.toml"
start other "$RESTBLK" daemon --config "$WORK/b/restblk.toml"
other() { RESTBLK_SOCKET=$WORK/b/run/api.sock "$RESTBLK" "$@"; }
wait_for 20 "the other daemon's answer" other list
pool other pool-of-b
refuses -c 5 -m "another host holds it: $(hostname) .* since 20" other attach pool-of-b/a --transport loop
refuses -c 5 -m 'holds it since' other delete pool-of-b/a
taken=$(other attach pool-of-b/a --transport loop --force)
head -c 4096 /dev/urandom > "$WORK/newer"
dd if="$WORK/newer" of="$taken" bs=4k count=1 oflag=direct status=none
# at once, by the store: no look at the record can have told the first host
refuses dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct
wait_for 5 "the first host's notice" bash -c "RESTBLK_SOCKET=$WORK/run/api.sock '$RESTBLK' -o json devices | jq -e '.[0].state == \"fenced\"'"
grep -q 'its lease is no longer held' "$WORK/daemon.log" || fail "the daemon does not say that the store refused it: $(tail -n 5 "$WORK/daemon.log")"
cmp <(azurite_curl vols/pool/a -r 0-4095) "$WORK/newer" || fail "the former holder's write landed on the new one's"
refuses dd if="$device" of=/dev/null bs=4k count=1 iflag=direct
restblk detach main/a --force
equal "the new holder's lease after that" leased "$(blob a x-ms-lease-state)"
dd if=/dev/urandom of="$taken" bs=4k count=1 oflag=direct status=none
other detach pool-of-b/a
equal "the lease afterwards" available "$(blob a x-ms-lease-state)"
equal "holders left" null "$(restblk -o json show main/a | jq .attached_by)"
restblk delete main/a
refuses -m 404 azurite_curl vols/pool/a
figure "create, mkfs, extend, fsck of the blob, discard, daemon killed: ok; the former holder's write was refused by the store at once"
