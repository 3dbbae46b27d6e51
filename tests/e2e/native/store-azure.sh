#!/usr/bin/env bash
# A volume on Azure Blob (Azurite): create, attach by loop, use, extend, and a forced takeover that the store itself enforces.
# timeout: 240
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/servers/install.sh"
. "$RESTBLK_ROOT/tests/servers/azurite.sh"
need mkfs.ext4 e2fsck curl jq openssl
need_loop

start_azurite
azurite_container vols
azurite_sas vols racwdl > "$WORK/sas"
start_daemon "lease_check_s = 3600" "[control]" "enabled = false"
restblk pool create main --store azure --url "$AZURITE_URL/vols" --user "$AZURITE_ACCOUNT" --password-file "$AZURITE_KEY_FILE"
restblk create main/a 64M
device=$(restblk attach main/a --transport loop)
mkfs.ext4 -q -F "$device"
mkdir -p "$WORK/mnt"
mount "$device" "$WORK/mnt"
cp -r "$RESTBLK_ROOT/docs" "$WORK/mnt/docs"
restblk extend main/a 96M
umount "$WORK/mnt"
azurite_curl vols/a -o "$WORK/image"
equal "the blob's size" $((96 << 20)) "$(stat -c %s "$WORK/image")"
e2fsck -fn "$WORK/image" > "$WORK/fsck.log" 2>&1 || fail "the blob is no clean file system"

# another host, by a shared access signature
mkdir -p "$WORK/b/run"
printf '%s\n' "state_dir = \"$WORK/b/state\"" "run_dir = \"$WORK/b/run\"" "dev_dir = \"$WORK/b/dev\"" "[control]" "enabled = false" > "$WORK/b/restblk.toml"
start other "$RESTBLK" daemon --config "$WORK/b/restblk.toml"
other() { RESTBLK_SOCKET=$WORK/b/run/api.sock "$RESTBLK" "$@"; }
wait_for 20 "the other daemon's answer" other list
other pool create main --store azure --url "$AZURITE_URL/vols" --password-file "$WORK/sas"
refuses -c 5 -m 'another host holds it' other attach main/a --transport loop
taken=$(other attach main/a --transport loop --force)
refuses dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct
mount "$taken" "$WORK/mnt"
equal "the tree" "$(tree_hash "$RESTBLK_ROOT/docs")" "$(tree_hash "$WORK/mnt/docs")"
umount "$WORK/mnt"
restblk detach main/a --force
other detach main/a
restblk delete main/a
