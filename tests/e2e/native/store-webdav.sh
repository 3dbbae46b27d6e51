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
