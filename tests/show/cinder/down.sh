#!/usr/bin/env bash
# claim: cinder-volume reports its back end down, and its log says why, while the socket's path is wrong, the daemon down or too old, the pool missing or its store full; mended, it is up again
# timeout: 3000
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
need_root
share_mounts
mkdir "$WORK/store"
mount -t tmpfs -o size=48M none "$WORK/store"
RIG_BACKENDS=log
start_openstack
conf=$WORK/openstack/conf/cinder/cinder.conf
log=$WORK/openstack/log/cinder-volume.log
# row: "State|Backend State" of the service, as `cinder service-list` has it
row() { in_openstack client cinder --os-volume-api-version 3.71 service-list --binary cinder-volume | awk -F' *[|] *' '$3 == "rig@log" { print $6 "|" $10 }' | tee "$WORK/row"; }
is() { grep -Eq "$1" <<< "$(row)"; }
up='^up\|up$'
# told REGEX: since the last `mark`, the log has it
mark() { marked=$(stat -c %s "$log"); }
told() { tail -c +$((marked + 1)) "$log" | grep -E "$1" > "$WORK/told"; }
seconds=()
# while_running WHAT REGEX: the back end goes down of itself, and tells why
while_running() {
  wait_for 120 "the log's word of $1" told "$2"
  wait_for 120 "a back end that is down ($1)" is '^up\|down$'
  say "$1: $(tail -n1 "$WORK/told" | sed "s/.*\(back end log\|ApiError: \)/\1/" | cut -c1-250)"
}
# up_again WHAT
up_again() {
  local from
  from=$(elapsed_ms)
  wait_for 240 "a back end that is up again ($1)" is "$up"
  seconds+=("$1 $((($(elapsed_ms) - from) / 1000)) s")
  in_openstack client openstack volume create --size 1 "after" > "$WORK/created" || fail "no volume is made after $1"
  is_made() { [ "$(in_openstack client openstack volume show after -f value -c status)" = available ]; }
  wait_for 120 "a volume after $1" is_made
  in_openstack client openstack volume delete after
  is_deleted() { ! in_openstack client openstack volume show after; }
  wait_for 120 "the end of the volume after $1" is_deleted
}
# at_start WHAT REGEX [FOLDER]: cinder-volume is started so; it says why, and its service is down
at_start() {
  in_openstack service end cinder-volume
  mark
  in_openstack service volume "${@:3}"
  wait_for 240 "the log's word of $1" told "$2"
  wait_for 240 "a service that is down ($1)" is '^down\|'
  # it has tried for the last time, and says that it stays so
  wait_for 120 "the end of the tries ($1)" told 'not sending heartbeat'
  told "$2"
  say "$1, at the start: $(tail -n1 "$WORK/told" | sed "s/.*\(back end log\|ApiError: \)/\1/" | cut -c1-250)"
}
mended() {
  in_openstack service end cinder-volume
  in_openstack service volume
  up_again "$1"
}
equal "the service at first" "up|up" "$(row)"

# --- while it runs: mended without a word to cinder-volume

mark
stop daemon
while_running "daemon down" 'back end log is down: .*is it running'
start_daemon
up_again "daemon down"

mark
restblk -q pool delete cinder
while_running "pool missing" 'back end log is down: .*no.* pool'
restblk -q pool create cinder --url "$STORE_URL/cdmi/2.0.0/" > "$WORK/created"
up_again "pool missing"

mark
in_openstack client openstack volume create --size 1 kept > "$WORK/created"
is_kept() { [ "$(in_openstack client openstack volume show kept -f value -c status)" = available ]; }
wait_for 120 "a volume" is_kept
dd if=/dev/zero of="$WORK/store/others" bs=4k status=none 2> "$WORK/dd.txt" || true
in_openstack client openstack volume create --size 1 refused > "$WORK/created"
while_running "store full" 'back end log is down: .*(no space|quota)'
rm "$WORK/store/others"
up_again "store full"
for volume in refused kept; do in_openstack client openstack volume delete "$volume"; done
in_pool() { restblk -q -o json list cinder | jq length; }
is_empty() { [ "$(in_pool)" = 0 ]; }
wait_for 60 "an empty pool" is_empty

# --- from its start: mended, and started again

sed -i "s|^restblk_socket = .*|restblk_socket = /nowhere/api.sock|" "$conf"
at_start "wrong socket" 'ApiError.*/nowhere/api.sock.*is it running'
sed -i "s|^restblk_socket = .*|restblk_socket = $WORK/run/api.sock|" "$conf"
mended "wrong socket"

sed -i "s|^restblk_pool = .*|restblk_pool = elsewhere|" "$conf"
at_start "wrong pool" 'ApiError.*no.* pool.*elsewhere|ApiError.*elsewhere.*no.* pool'
sed -i "s|^restblk_pool = .*|restblk_pool = cinder|" "$conf"
mended "wrong pool"

# the driver as of a release that is not there yet
mkdir "$WORK/newer"
cp -r "$RESTBLK_ROOT/cinder/restblk_cinder" "$WORK/newer/"
sed -i "s|VERSION = '.*'|VERSION = '99.0.0'|" "$WORK/newer/restblk_cinder/driver.py"
at_start "older restblk" 'ApiError.* is older than its Cinder driver, 99.0.0' "$WORK/newer"
mended "older restblk"

figure "six reasons, each told in the log and by service-list; until it was up again and made a volume: $(printf '%s, ' "${seconds[@]}" | sed 's/, $//')"
