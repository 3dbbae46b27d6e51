#!/usr/bin/env bash
# Pools on WebDAV: lighttpd proved, a direct volume's life by loop, a second host fenced by the store's lock; and what a lock's end does.
# timeout: 240
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/servers/install.sh"
. "$RESTBLK_ROOT/tests/servers/store.sh"
. "$RESTBLK_ROOT/tests/servers/lighttpd.sh"
. "$RESTBLK_ROOT/tests/direct.sh"
need mkfs.ext4 e2fsck curl jq
need_loop

start_lighttpd "$PARTIAL_PUT"
say "proof and conformance"
conformance "$(web_store webdav "$LIGHTTPD_URL/suite/")" --races 10 --model 100
equal "objects left by the proof" "" "$(find "$WORK/lighttpd/data/suite/.restblk" -type f)"
say "a volume's life"
start_daemon "lease_check_s = 1" "[control]" "enabled = false"
restblk pool create main --store webdav --url "$LIGHTTPD_URL/pool/"
equal "what is proved" '["content-range",true,true]' "$(restblk -o json pool show main | jq -c '[.proven.dialect, .proven.exclusive_create, .proven.write_in_place]')"
direct_life "$WORK/lighttpd/data/pool"
say "a second host"
second_host_is_fenced webdav "$LIGHTTPD_URL/pool/" "$WORK/lighttpd/data/pool" locked
say "a lock that ran out is taken again"
restblk create main/c 16M
device=$(restblk attach main/c --transport loop)
lock_of_c() { curl -s -X PROPFIND -H 'Depth: 0' "$LIGHTTPD_URL/pool/c" | sed -n 's/.*<D:href>\(urn:uuid:[^<]*\).*/\1/p'; }
token=$(lock_of_c)
[ -n "$token" ] || fail "the attached volume is not locked"
equal "the end of the lock" 204 "$(curl -s -o /dev/null -w '%{http_code}' -X UNLOCK -H "Lock-Token: <$token>" "$LIGHTTPD_URL/pool/c")"
head -c 65536 /dev/urandom > "$WORK/block"
timeout 60 dd if="$WORK/block" of="$device" bs=64k count=1 oflag=direct status=none || fail "the write did not go through"
cmp -n 65536 "$WORK/block" "$WORK/lighttpd/data/pool/c" || fail "the write is not on the store"
[ -n "$(lock_of_c)" ] || fail "the volume is not locked again"
restblk detach main/c
