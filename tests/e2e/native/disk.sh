#!/usr/bin/env bash
# The store's disk fails to keep what was acknowledged: the flush fails and the device ends. A restart of the server does not
# make it forget: clients are told that it is not what it was.
# timeout: 180
. "$RESTBLK_ROOT/tests/lib.sh"
need jq python3 mkfs.ext4 curl
need_loop

# A file system that has promised more than is behind it, so that writing back fails long after the write.
mkdir -p "$WORK/small" "$WORK/store"
mount -t tmpfs -o size=96M tmpfs "$WORK/small" || skip "a tmpfs cannot be mounted here"
truncate -s 512M "$WORK/small/image"
mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1 "$WORK/small/image"
mount -o loop "$WORK/small/image" "$WORK/store"

start_store
start_daemon "[control]" "enabled = false"
restblk pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
restblk create main/a 256M
device=$(restblk attach main/a --transport loop)
instance() { curl -sf -o /dev/null -D - -X PATCH "$STORE_URL/cdmi/2.0.0/.restblk/pool?restblk_flush" | tr -d '\r' | awk 'tolower($1) == "restblk-instance:" { print $2 }'; }
before=$(instance)
[ "${#before}" = 32 ] || fail "the store tells no instance: $before"
dd if=/dev/urandom of="$device" bs=1M count=160 oflag=direct conv=notrunc status=none
refuses python3 -c 'import os, sys; os.fsync(os.open(sys.argv[1], os.O_RDWR))' "$device"
restblk -o json devices | jq -e '.[0].state == "failed" and (.[0].problem | test("written data may be lost"))' \
  || fail "the device goes on: $(restblk -o json devices)"
restblk detach main/a
stop store
start_store
after=$(instance)
[ "${#after}" = 32 ] && [ "$after" != "$before" ] || fail "after the restart the store says that nothing was lost: $before, $after"
