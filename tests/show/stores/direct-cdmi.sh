#!/usr/bin/env bash
# claim: direct volumes live on the embedded CDMI store through a loop device; a second host is fenced at once by the store's lock, through one server, through two of one directory, and after a kill
# timeout: 400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/direct.sh"
need mkfs.ext4 e2fsck curl jq
need_loop

told_by_the_store() {
  grep -q 'its lock is no longer held by this client' "$WORK/daemon.log" || fail "the daemon does not say that the store refused it: $(tail -n 5 "$WORK/daemon.log")"
}

say "one server"
start_store
# the lock alone must do it: the first host looks after its record once an hour
start_daemon "lease_check_s = 3600" "[control]" "enabled = false"
restblk pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
restblk -o json pool show main | jq -e '.proven.fences' > "$WORK/jq" || fail "$(restblk pool show main)"
direct_life "$WORK/store"
second_host_is_fenced cdmi "$STORE_URL/cdmi/2.0.0/" "$WORK/store" locked
told_by_the_store

say "the server and the daemon are killed"
restblk create main/c 16M
device=$(restblk attach main/c --transport loop --persist)
crash store
start_store
equal "a stranger's write after the server's death" 423 "$(stranger cdmi "$STORE_URL/cdmi/2.0.0/c")"
dd if=/dev/urandom of="$device" bs=64k count=16 oflag=direct status=none
crash daemon
equal "a stranger's write after the daemon's death" 423 "$(stranger cdmi "$STORE_URL/cdmi/2.0.0/c")"
start_daemon
wait_for 30 "the volume's return" bash -c "RESTBLK_SOCKET=$WORK/run/api.sock '$RESTBLK' -o json devices | jq -e '.[0].state == \"active\"'"
dd if=/dev/urandom of="$(restblk -o json devices | jq -r '.[0].device')" bs=64k count=16 oflag=direct status=none
restblk detach main/c
equal "a write once nobody holds it" 204 "$(stranger cdmi "$STORE_URL/cdmi/2.0.0/c")"
restblk delete main/c
restblk pool delete main
stop daemon
stop store

say "a server for each of the hosts"
rm -r "$WORK/state" "$WORK/second"
start_store --shared
port=$(free_port)
start other "$RESTBLK" serve "$WORK/store" --shared --listen "127.0.0.1:$port"
wait_for 20 "the other server's answer" curl -s "http://127.0.0.1:$port/"
: > "$WORK/daemon.log"
start_daemon
restblk pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
second_host_is_fenced cdmi "http://127.0.0.1:$port/cdmi/2.0.0/" "$WORK/store" locked
told_by_the_store
figure "create, mkfs, extend, fsck of the file: ok; a former holder's write was refused by the store at once, through one server and through two of one directory; the lock outlived the server's and the daemon's kill -9"
