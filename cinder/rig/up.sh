#!/usr/bin/env bash
# Starts RabbitMQ, MariaDB, keystone, glance-api, cinder-api, -scheduler, -volume and -backup. The first start makes
# databases, users, endpoints, volume types and two test images; later ones use them again.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
began=$(date +%s)
say() { printf '%4d s  %s\n' $(($(date +%s) - began)) "$*"; }
listens() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
mkdir -p "$CONF"/{keystone,glance,cinder} "$LOGS" "$PIDS" "$TMP" "$RIG"/{images,backups,locks,conversion,coordination,keystone-keys,credential-keys,rabbit}

# --- RabbitMQ

cat > "$RIG/rabbit/rabbitmq.conf" << C
listeners.tcp.1 = 127.0.0.1:$AMQP_PORT
log.console = true
log.file = false
log.console.level = warning
collect_statistics_interval = 60000
C
rabbit=$(echo "$DEBROOT"/usr/lib/rabbitmq/lib/rabbitmq_server-*)
start_service epmd "$DEBROOT"/usr/lib/erlang/erts-*/bin/epmd -port $EPMD_PORT -address 127.0.0.1
start_service rabbitmq env HOME="$RIG/rabbit" PATH="$DEBROOT/usr/lib/erlang/bin:$PATH" ERL_EPMD_PORT=$EPMD_PORT ERL_EPMD_ADDRESS=127.0.0.1 \
  RABBITMQ_NODENAME=rig@localhost RABBITMQ_DIST_PORT=$AMQP_DIST_PORT RABBITMQ_MNESIA_BASE="$RIG/rabbit/mnesia" \
  RABBITMQ_LOG_BASE="$RIG/rabbit" RABBITMQ_CONFIG_FILE="$RIG/rabbit/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$RIG/rabbit/plugins" \
  RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none" "$rabbit/sbin/rabbitmq-server"

# --- MariaDB

socket=$RIG/mysql.sock
if [ ! -d "$RIG/mysql/mysql" ]; then
  mariadb-install-db --no-defaults --basedir="$DEBROOT/usr" --datadir="$RIG/mysql" --user=root \
    --auth-root-authentication-method=normal --skip-test-db > "$LOGS/mysql-install.log" 2>&1
fi
start_service mysql mariadbd --no-defaults --basedir="$DEBROOT/usr" --datadir="$RIG/mysql" --user=root --skip-networking \
  --socket="$socket" --pid-file="$RIG/mysqld.pid" --max-connections=400 --innodb-flush-log-at-trx-commit=0 --sync-binlog=0 \
  --innodb-buffer-pool-size=64M --lc-messages-dir="$DEBROOT/usr/share/mysql"
sql() { mariadb --no-defaults --socket="$socket" -uroot "$@"; }
answers 30 MariaDB sql -e 'select 1'
sql -e "$(for name in keystone glance cinder; do echo "create database if not exists $name character set utf8mb3;"; done)"
database() { echo "mysql+pymysql://root@localhost/$1?unix_socket=$socket"; }
say "database ready"

# --- configuration

# login USER: how a service proves who it is
login() {
  cat << C
auth_type = password
auth_url = http://127.0.0.1:$KEYSTONE_PORT/v3
username = $1
password = $PASSWORD
project_name = service
user_domain_id = default
project_domain_id = default
region_name = RegionOne
C
}
authtoken() {
  cat << C
[keystone_authtoken]
www_authenticate_uri = http://127.0.0.1:$KEYSTONE_PORT/v3
$(login "$1")
service_token_roles = service
service_token_roles_required = true
C
}
cat > "$CONF/keystone/keystone.conf" << C
[DEFAULT]
log_dir =
[database]
connection = $(database keystone)
[fernet_tokens]
key_repository = $RIG/keystone-keys
[credential]
key_repository = $RIG/credential-keys
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = oslo_cache.dict
C
cat > "$CONF/glance/glance-api.conf" << C
[DEFAULT]
enabled_backends = file:file
worker_self_reference_url = http://127.0.0.1:$GLANCE_PORT
[database]
connection = $(database glance)
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = $RIG/images
[os_glance_staging_store]
filesystem_store_datadir = $RIG/images-staging
[os_glance_tasks_store]
filesystem_store_datadir = $RIG/images-tasks
[paste_deploy]
flavor = keystone
config_file = $VENV/etc/glance/glance-api-paste.ini
[oslo_concurrency]
lock_path = $RIG/locks
$(authtoken glance)
C
helper="$VENV/bin/privsep-helper --config-file $CONF/cinder/cinder.conf"
cat > "$CONF/cinder/cinder.conf" << C
[DEFAULT]
debug = true
host = rig
my_ip = 127.0.0.1
transport_url = rabbit://guest:guest@127.0.0.1:$AMQP_PORT/
auth_strategy = keystone
api_paste_config = $VENV/etc/cinder/api-paste.ini
resource_query_filters_file = $VENV/etc/cinder/resource_filters.json
rootwrap_config = $VENV/etc/cinder/rootwrap.conf
osapi_volume_listen = 127.0.0.1
osapi_volume_listen_port = $CINDER_PORT
osapi_volume_workers = 1
state_path = $RIG
image_conversion_dir = $RIG/conversion
glance_api_servers = http://127.0.0.1:$GLANCE_PORT
enabled_backends = $BACKENDS
default_volume_type = ${BACKENDS%%,*}
enable_force_upload = true
report_interval = 4
service_down_time = 60
periodic_interval = 10
backend_stats_polling_interval = 10
scheduler_default_filters = AvailabilityZoneFilter,CapacityFilter,CapabilitiesFilter
backup_driver = cinder.backup.drivers.posix.PosixBackupDriver
backup_posix_path = $RIG/backups
backup_file_size = 134217728
backup_sha_block_size_bytes = 1048576
backup_compression_algorithm = none
backup_workers = 1
rpc_response_timeout = 120
cinder_internal_tenant_project_id = @PROJECT@
cinder_internal_tenant_user_id = @USER@
[database]
connection = $(database cinder)
[oslo_concurrency]
lock_path = $RIG/locks
[coordination]
backend_url = file://$RIG/coordination
[oslo_messaging_rabbit]
heartbeat_timeout_threshold = 0
[cinder_sys_admin]
helper_command = $helper
[privsep_osbrick]
helper_command = $helper
[service_user]
send_service_user_token = true
$(login cinder)
[nova]
$(login cinder)
[key_manager]
backend = cinder.keymgr.conf_key_mgr.ConfKeyManager
fixed_key = 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
$(authtoken cinder)
[backend_defaults]
volume_driver = restblk_cinder.driver.RestblkDriver
restblk_socket = $RESTBLK_SOCKET
restblk_pool = cinder
restblk_exclusive_pool = false
restblk_transport = ${RIG_TRANSPORT:-auto}
[log]
volume_backend_name = log
restblk_layout = log
image_volume_cache_enabled = true
# Known space comes before unknown: a type that names no back end, of which tempest makes some, is of this one.
restblk_capacity_gb = 100000
[direct]
volume_backend_name = direct
restblk_layout = direct
[file]
volume_driver = filevol.FileVolumeDriver
volume_backend_name = file
filevol_base = $RIG/volumes
C

# --- keystone

export OS_KEYSTONE_CONFIG_DIR=$CONF/keystone OS_KEYSTONE_CONFIG_FILES=keystone.conf OS_GLANCE_CONFIG_DIR=$CONF/glance
serve() { start_service "$1" "$VENV/bin/python" "$RIG_SCRIPTS/wsgi_serve.py" "${@:2}"; }
first=
if [ ! -f "$RIG/made" ]; then
  first=1
  (
    glance-manage --config-file "$CONF/glance/glance-api.conf" db_sync > "$LOGS/glance-sync.log" 2>&1
    cinder-manage --config-file "$CONF/cinder/cinder.conf" db sync > "$LOGS/cinder-sync.log" 2>&1
  ) & sync=$!
  keystone() { keystone-manage --config-file "$CONF/keystone/keystone.conf" "$@" >> "$LOGS/keystone-sync.log" 2>&1; }
  who=(--keystone-user "$(id -un)" --keystone-group "$(id -gn)")
  keystone db_sync
  keystone fernet_setup "${who[@]}"
  keystone credential_setup "${who[@]}"
  keystone bootstrap --bootstrap-password $PASSWORD --bootstrap-region-id RegionOne --bootstrap-public-url $OS_AUTH_URL \
    --bootstrap-internal-url $OS_AUTH_URL --bootstrap-admin-url $OS_AUTH_URL
fi
serve keystone keystone.wsgi.api 127.0.0.1:$KEYSTONE_PORT 8
answers 60 keystone curl -sf $OS_AUTH_URL
if [ -n "$first" ]; then
  wait "$sync"
  "$VENV/bin/python" "$RIG_SCRIPTS/seed.py" identity
  say "databases, users and endpoints made"
fi
sed -i "s/@PROJECT@/$(cat "$RIG/project_id")/; s/@USER@/$(cat "$RIG/user_id")/" "$CONF/cinder/cinder.conf"

# --- glance, cinder

serve glance glance.wsgi.api 127.0.0.1:$GLANCE_PORT 8
answers 60 RabbitMQ listens $AMQP_PORT
conf=(--config-file "$CONF/cinder/cinder.conf")
serve cinder-api cinder.wsgi.api 127.0.0.1:$CINDER_PORT 16 "${conf[@]}"
start_service cinder-scheduler "$VENV/bin/cinder-scheduler" "${conf[@]}"
start_service cinder-backup "$VENV/bin/cinder-backup" "${conf[@]}"
start_cinder_volume
answers 60 glance curl -s http://127.0.0.1:$GLANCE_PORT/
answers 60 cinder curl -s http://127.0.0.1:$CINDER_PORT/
"$VENV/bin/python" "$RIG_SCRIPTS/seed.py" ${first:+volume} wait
touch "$RIG/made"
say "all services are up"
