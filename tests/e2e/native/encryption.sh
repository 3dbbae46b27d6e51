#!/usr/bin/env bash
# An encrypted volume of the log layout: its keys, what the store and the journal have of it, the daemon's death, snapshots, clones, codecs.
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
need mkfs.ext4 e2fsck jq
need_loop

share_mounts
# what a daemon keeps for the next one lies in memory, as /run does
mkdir -p "$WORK/run" "$WORK/mnt" "$WORK/then" "$WORK/keys"
mount -t tmpfs -o mode=0700 none "$WORK/run"
head -c 32 /dev/urandom > "$WORK/keys/a"
head -c 48 /dev/urandom > "$WORK/keys/b"
head -c 32 /dev/urandom > "$WORK/keys/boot"
head -c 31 /dev/urandom > "$WORK/keys/short"
echo 'open sesame' > "$WORK/keys/phrase"
start_store
start_daemon "[control]" "enabled = false" "[journal]" 'size = "64M"' \
  "[encryption]" "\"main/boot\" = { key_file = \"$WORK/keys/boot\" }"
restblk -q pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
vol=$WORK/store/.restblk/vol
# what lies under the ids of all volumes, and how many epochs there are
epochs() { find "$vol" -path '*/epoch/*' -type f | wc -l; }
slots() { restblk -o json show "$1" | jq -c '[.encryption.slots[] | "\(.slot) \(.kind)"]'; }

say "what is refused when it is made"
refuses -c 11 -m 'layout log' restblk create main/x 64M --encrypt --key-file "$WORK/keys/a"
refuses -c 6 -m 'there is no key for it' restblk create main/x 64M --layout log --encrypt
refuses -c 6 -m '31 bytes, and 32 are the least' restblk create main/x 64M --layout log --encrypt --key-file "$WORK/keys/short"
refuses -c 6 -m '--encrypt' restblk create main/x 64M --layout log --key-file "$WORK/keys/a"
refuses -c 3 restblk create main/x 64M --layout log --encrypt --key-file "$WORK/keys/none"
refuses -c 6 -m 'no compression' restblk create main/x 64M --layout log --compress gzip
refuses -c 11 -m 'layout log' restblk create main/x 64M --compress zstd

say "a wrong key changes nothing"
restblk -q create main/a 256M --layout log --compress zstd --encrypt --key-file "$WORK/keys/a"
equal "its slots" '["0 key-file"]' "$(slots main/a)"
equal "its codec" zstd "$(restblk -o json show main/a | jq -r .compression)"
before=$(epochs)
refuses -c 7 -m 'no key for it' restblk attach main/a --transport loop
refuses -c 7 -m 'opens none of its slots' restblk attach main/a --transport loop --key-file "$WORK/keys/b"
refuses -c 7 -m 'opens none of its slots' restblk attach main/a --transport loop --passphrase-file "$WORK/keys/phrase"
equal "the epochs that were claimed" "$before" "$(epochs)"
[ -z "$(find "$WORK/store/.restblk/attachments" -type f 2> /dev/null)" ] || fail "a wrong key left an attachment record"
restblk -q create main/plain 64M --layout log
refuses -c 6 -m 'it is not encrypted' restblk attach main/plain --transport loop --key-file "$WORK/keys/a"
refuses -c 6 -m 'come back at boot' restblk attach main/a --transport loop --persist --key-file "$WORK/keys/a"

say "what is written to it"
device=$(restblk -q attach main/a --transport loop --key-file "$WORK/keys/a")
mkfs.ext4 -q -F "$device"
mount "$device" "$WORK/mnt"
# sixteen bytes that nothing else has, in every block of a file
hex_of() { od -An -v -tx1 | tr -d ' \n'; }
secret=SECRET-$(head -c 6 /dev/urandom | hex_of | cut -c1-9)
head -c 16M < <(yes "$secret") > "$WORK/mnt/secret"
cp -r "$RESTBLK_ROOT/docs" "$WORK/mnt/docs"
tree=$(tree_hash "$WORK/mnt")
sync -f "$WORK/mnt"
restblk -q snapshot create main/a@then
grep -rqF "$secret" "$WORK/store" && fail "the store has what was written in the clear"
grep -rqF "$secret" "$WORK/state" && fail "this host's journal has what was written in the clear"
grep -rqF "$secret" "$WORK/run" && fail "the run folder has what was written in the clear"
used=$(du -sm --apparent-size "$vol" | cut -f1)
[ "$used" -lt 14 ] || fail "$used MiB on the store for 16 MiB of one word: it is not packed"

say "the daemon dies, and nobody gives the next one a key"
crash daemon
start_daemon
is_active() { restblk -o json devices | jq -e '.[0].state == "active"'; }
wait_for 30 "the recovery of the device" is_active
equal "what it has" "$tree" "$(tree_hash "$WORK/mnt")"
crash daemon
rm -r "$WORK/run/keys"
start_daemon
waits_for_key() { restblk -o json devices | jq -e '.[0].problem | test("no key for it")'; }
wait_for 30 "the wait for a key" waits_for_key
refuses -c 7 -m 'opens none of its slots' restblk attach main/a --key-file "$WORK/keys/b"
restblk -q attach main/a --key-file "$WORK/keys/a"
is_active || fail "the device has its key and is not active"
echo 3 > /proc/sys/vm/drop_caches
equal "what it has" "$tree" "$(tree_hash "$WORK/mnt")"
old=$(restblk -q attach main/a@then --transport loop)
mount -o ro,noload "$old" "$WORK/then"
equal "what its snapshot has" "$tree" "$(tree_hash "$WORK/then")"
umount "$WORK/then"
restblk -q detach main/a@then

say "the codec is changed under the mounted file system"
for codec in none lz4 zstd; do
  restblk -q volume compress main/a "$codec"
  equal "its codec" "$codec" "$(restblk -o json show main/a | jq -r .compression)"
  dd if=/dev/urandom of="$WORK/mnt/$codec" bs=1M count=2 status=none conv=fsync
done
rm "$WORK/mnt/none" "$WORK/mnt/lz4" "$WORK/mnt/zstd"
equal "what it has" "$tree" "$(tree_hash "$WORK/mnt")"
umount "$WORK/mnt"
restblk -q detach main/a
[ -z "$(find "$WORK/run/keys" -type f)" ] || fail "the key of a volume that nobody has open stays in $WORK/run/keys"
refuses -c 7 -m 'no key for it' restblk snapshot create main/a@later

say "other keys for the same data"
log=$(find "$vol" -path '*/log/*' -type f | sort | xargs sha256sum | sha256sum)
refuses -c 7 -m 'opens none' restblk volume rekey main/a --key-file "$WORK/keys/b" --new-key-file "$WORK/keys/b"
restblk -q volume rekey main/a --key-file "$WORK/keys/a" --add --new-passphrase-file "$WORK/keys/phrase"
equal "its slots" '["0 key-file","1 passphrase"]' "$(slots main/a)"
restblk -q volume rekey main/a --key-file "$WORK/keys/a" --new-key-file "$WORK/keys/b"
refuses -c 7 -m 'opens none' restblk attach main/a --transport loop --key-file "$WORK/keys/a"
restblk -q volume rekey main/a --passphrase-file "$WORK/keys/phrase" --remove 0
equal "its slots" '["1 passphrase"]' "$(slots main/a)"
refuses -c 5 -m 'the last one' restblk volume rekey main/a --passphrase-file "$WORK/keys/phrase" --remove 1
refuses -c 3 -m 'there is none' restblk volume rekey main/a --passphrase-file "$WORK/keys/phrase" --remove 5
equal "what the log has" "$log" "$(find "$vol" -path '*/log/*' -type f | sort | xargs sha256sum | sha256sum)"
device=$(restblk -q attach main/a --transport loop --passphrase-file "$WORK/keys/phrase")
mount -o ro "$device" "$WORK/mnt"
equal "what it has" "$tree" "$(tree_hash "$WORK/mnt")"
umount "$WORK/mnt"

say "clones: by what opens their parent, and by their own key"
restblk -q clone main/a@then main/b
restblk -q clone main/a@then main/c --key-file "$WORK/keys/b"
equal "the slots of the clones" '["1 passphrase"]["0 key-file"]' "$(slots main/b)$(slots main/c)"
restblk -q detach main/a
refuses -c 7 -m 'opens none' restblk attach main/c --transport loop --passphrase-file "$WORK/keys/phrase"
for clone in "b --passphrase-file $WORK/keys/phrase" "c --key-file $WORK/keys/b"; do
  # shellcheck disable=SC2086
  device=$(restblk -q attach main/$clone --transport loop)
  mount "$device" "$WORK/mnt"
  equal "what the clone ${clone%% *} has" "$tree" "$(tree_hash "$WORK/mnt")"
  echo "$secret again" > "$WORK/mnt/own"
  umount "$WORK/mnt"
  e2fsck -fn "$device" > "$WORK/fsck.log" 2>&1 || fail "the clone ${clone%% *} is no clean file system: $(tail -n 3 "$WORK/fsck.log")"
  restblk -q volume flatten "main/${clone%% *}"
  restblk -q detach "main/${clone%% *}"
done
grep -rqF "$secret" "$WORK/store" && fail "the store has what was written in the clear"

say "an attachment that comes back by a key that the configuration names"
restblk -q create main/boot 64M --layout log --encrypt
device=$(restblk -q attach main/boot --transport loop --persist)
dd of="$device" bs=1M count=4 iflag=fullblock status=none conv=fsync < <(yes "$secret")
sum=$(head -c 4M "$device" | sha256sum)
stop daemon
rm -rf "$WORK/run/keys"
start_daemon
wait_for 30 "the return of the device" is_active
blockdev --flushbufs "$device"
equal "what it has" "$sum" "$(head -c 4M "$device" | sha256sum)"
restblk -q detach main/boot

say "a byte that the store changes is an error, never data"
id=$(restblk -o json show main/boot | jq -r .id)
object=$(find "$vol/$id/log" -type f -printf '%s %p\n' | sort -n | tail -n1 | cut -d' ' -f2)
size=$(stat -c %s "$object")
byte=$(hex_of < <(tail -c +$((size / 2 + 1)) "$object" | head -c 1))
# shellcheck disable=SC2059
printf "\\x$(printf '%02x' $((0x$byte ^ 1)))" | dd of="$object" bs=1 seek=$((size / 2)) conv=notrunc status=none
device=$(restblk -q attach main/boot --transport loop)
refuses dd if="$device" of=/dev/null bs=4k count=1024 iflag=direct
restblk -q detach main/boot

say "no log and no answer has a secret"
for key in a b boot phrase; do
  hex=$(head -c 11 "$WORK/keys/$key" | hex_of)
  text=$(head -c 12 "$WORK/keys/$key" | base64)
  for log in "$WORK"/*.log; do
    hex_of < "$log" | grep -q "$hex" && fail "$log has the key $key"
    grep -qF "$text" "$log" && fail "$log has the key $key"
  done
done
restblk -q snapshot delete main/a@then --yes 2> /dev/null && fail "a snapshot was deleted without a key"
device=$(restblk -q attach main/a --transport loop --passphrase-file "$WORK/keys/phrase")
restblk -q snapshot delete main/a@then --yes
restblk -q detach main/a
for volume in a b c boot plain; do restblk -q delete main/$volume --yes; done
equal "volumes left" 0 "$(restblk -o json list main | jq length)"
