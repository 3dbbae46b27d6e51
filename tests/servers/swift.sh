# shellcheck shell=bash
# OpenStack Swift, all in one, from Debian: a proxy with TempAuth and one server each for accounts, containers and objects.
# start_swift [LINES…] sets SWIFT_URL (of the account), SWIFT_AUTH_URL; the user is test:tester with the key testing. LINES are for TempAuth's
# section; SWIFT_AUTH='NAME LINES' puts another filter NAME (with LINES in its section) in TempAuth's place.

install_swift() { apt_packages swift-proxy swift-account swift-container swift-object memcached curl; }
swift_version() { dpkg-query -W -f '${Version}' swift-proxy | sed 's/-.*//'; }

swift_server() {
  local folder=$1 kind=$2 port=$3
  cat > "$folder/etc/$kind.conf" << CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
user = $(id -un)
swift_dir = $folder/etc
devices = $folder/devices
mount_check = false
disable_fallocate = true
workers = 0
log_address = /dev/null
log_level = ERROR
[pipeline:main]
pipeline = $kind-server
[app:$kind-server]
use = egg:swift#$kind
CONF
  (cd "$folder/etc" && swift-ring-builder "$kind.builder" create 4 1 1 && swift-ring-builder "$kind.builder" add "r1z1-127.0.0.1:$port/one" 1 \
    && swift-ring-builder "$kind.builder" rebalance) > "$folder/$kind.ring.log" 2>&1 || [ $? = 1 ]
}

start_swift() {
  install_swift
  local folder=$WORK/swift port kind cache auth
  port=$(free_port) cache=$(free_port)
  mkdir -p "$folder/etc" "$folder/devices/one"
  cat > "$folder/etc/swift.conf" << CONF
[swift-hash]
swift_hash_path_prefix = a
swift_hash_path_suffix = b
[storage-policy:0]
name = default
default = yes
CONF
  for kind in account container object; do swift_server "$folder" "$kind" "$(free_port)"; done
  auth=${SWIFT_AUTH:-tempauth use = egg:swift#tempauth$'\n'user_test_tester = testing .admin}
  cat > "$folder/etc/proxy.conf" << CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
user = $(id -un)
swift_dir = $folder/etc
workers = 0
log_address = /dev/null
log_level = ERROR
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats ${SWIFT_PIPELINE:-${auth%% *}} slo dlo account-quotas container-quotas proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$cache
memcache_max_connections = 64
connect_timeout = 5
pool_timeout = 10
io_timeout = 10
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:account-quotas]
use = egg:swift#account_quotas
[filter:container-quotas]
use = egg:swift#container_quotas
${SWIFT_FILTERS:-}
[filter:${auth%% *}]
${auth#* }
CONF
  printf '%s\n' "$@" >> "$folder/etc/proxy.conf"
  start memcached memcached -u "$(id -un)" -l 127.0.0.1 -p "$cache" -m 64
  for kind in account container object; do start "swift-$kind" "swift-$kind-server" "$folder/etc/$kind.conf"; done
  start swift-proxy swift-proxy-server "$folder/etc/proxy.conf"
  # shellcheck disable=SC2034
  SWIFT_URL=http://127.0.0.1:$port/v1/AUTH_test SWIFT_AUTH_URL=http://127.0.0.1:$port/auth/v1.0
  wait_for 60 "Swift's answer" swift_is_healthy "$port"
  for kind in account container object; do
    wait_for 60 "the answer of Swift's $kind server" started_and_answers "swift-$kind" "http://127.0.0.1:$(sed -n 's/^bind_port = //p' "$folder/etc/$kind.conf")/recon/version"
  done
}
swift_is_healthy() {
  is_running swift-proxy || fail "swift-proxy ended at once; see swift-proxy.log"
  curl -sf --max-time 2 "http://127.0.0.1:$1/healthcheck" | grep -q OK
}

# swift_store CONTAINER [SETTINGS in JSON]: prints a StoreConfig in JSON for TempAuth's user.
swift_store() {
  (umask 077 && echo testing > "$WORK/swift.key")
  jq -nc --arg url "$SWIFT_URL/$1" --arg auth "$SWIFT_AUTH_URL" --arg file "$WORK/swift.key" --argjson settings "${2:-{\}}" \
    '{ kind: "swift", urls: [$url], user: "test:tester", password_file: $file, settings: ({ auth_url: $auth } + $settings), fail_after_ms: 60000 }'
}
