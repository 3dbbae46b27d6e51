#!/usr/bin/env bash
# claim: direct volumes live on lighttpd and Apache by WebDAV through a loop device; a second host is fenced, by the store's lock where it has one
# timeout: 600
. "$RESTBLK_ROOT/tests/lib.sh"
for file in install store lighttpd apache; do . "$RESTBLK_ROOT/tests/servers/$file.sh"; done
. "$RESTBLK_ROOT/tests/direct.sh"
need mkfs.ext4 e2fsck curl jq fio
need_loop

verified=0
# fio's own checksums over a device of pool main
verify() {
  local device
  restblk create main/fio 64M
  device=$(restblk attach main/fio --transport loop)
  fio --name=v --filename="$device" --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bsrange=4k-256k --blockalign=4k --size=64M \
    --verify=crc32c --verify_fatal=1 --verify_state_save=0 --output-format=json > "$WORK/fio.json" 2> "$WORK/fio.log" || fail "fio: $(tail -n 3 "$WORK/fio.log")"
  equal "fio's errors" 0 "$(jq '.jobs[0].error' "$WORK/fio.json")"
  verified=$((verified + $(jq '.jobs[0].read.io_bytes' "$WORK/fio.json")))
  restblk detach main/fio
  restblk delete main/fio
}

say lighttpd
start_lighttpd "$PARTIAL_PUT"
start_daemon "lease_check_s = 5" "[control]" "enabled = false"
restblk pool create main --store webdav --url "$LIGHTTPD_URL/pool/"
direct_life "$WORK/lighttpd/data/pool"
verify
second_host_is_fenced webdav "$LIGHTTPD_URL/pool/" "$WORK/lighttpd/data/pool" locked
restblk pool delete main
stop lighttpd

say Apache
start_apache
refuses -m 'single_host' restblk pool create main --store webdav --url "$APACHE_URL/pool/"
restblk pool create main --store webdav --url "$APACHE_URL/pool/" --single-host
direct_life "$WORK/apache/data/pool"
verify
restblk pool delete main
stop apache
[ "$verified" -gt 0 ] || fail "fio verified nothing"
figure "a volume's life and $((verified >> 20)) MiB verified on lighttpd $(lighttpd_version) and Apache $(apache_version); the second host is fenced by LOCK on lighttpd; Apache's races have two winners, so it is for a single host"
