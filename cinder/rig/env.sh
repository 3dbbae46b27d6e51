# shellcheck shell=bash
# What all scripts of the rig share: `. env.sh`. OPENSTACK holds the programs (install.sh), RIG all state of one run;
# RESTBLK_SOCKET is the socket of a daemon whose pool "cinder" the back ends `log` and `direct` use; RIG_BACKENDS names
# those that are to run, `file` (filevol.py) too. Every service listens on the loopback alone, at the six ports of
# RIG_PORTS, with a pid file each in $RIG/pid.
: "${OPENSTACK:?the folder of install.sh}" "${RIG:?a folder for the state of this run}"
RIG_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VENV=$OPENSTACK/venv
# Debian packages, unpacked and not installed: RabbitMQ, Erlang, MariaDB, qemu-img
DEBROOT=$OPENSTACK/root
CONF=$RIG/conf LOGS=$RIG/log PIDS=$RIG/pid TMP=$RIG/tmp
BACKENDS=${RIG_BACKENDS:-log,direct}
read -r KEYSTONE_PORT CINDER_PORT GLANCE_PORT AMQP_PORT AMQP_DIST_PORT EPMD_PORT <<< "${RIG_PORTS:-15000 18776 19292 25672 25673 24369}"
PASSWORD=secret
export RIG BACKENDS KEYSTONE_PORT CINDER_PORT GLANCE_PORT RESTBLK_SOCKET
export PATH=$VENV/bin:$DEBROOT/usr/bin:$DEBROOT/usr/sbin:$PATH
export OS_AUTH_URL=http://127.0.0.1:$KEYSTONE_PORT/v3 OS_USERNAME=admin OS_PASSWORD=$PASSWORD OS_PROJECT_NAME=admin \
  OS_USER_DOMAIN_ID=default OS_PROJECT_DOMAIN_ID=default OS_IDENTITY_API_VERSION=3 OS_REGION_NAME=RegionOne \
  OS_VOLUME_API_VERSION=3.71
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

# start_service NAME COMMAND…: in a session of its own, whose log and pid file have its name; nothing where it runs.
start_service() {
  local name=$1
  shift
  if [ -f "$PIDS/$name" ] && kill -0 "$(cat "$PIDS/$name")" 2> /dev/null; then return; fi
  setsid "$@" >> "$LOGS/$name.log" 2>&1 < /dev/null 7>&- &
  echo $! > "$PIDS/$name"
}
# end_service NAME [SIGNAL]: its whole session, by KILL after 10 s; nothing where it does not run.
end_service() {
  local pid _
  [ -f "$PIDS/$1" ] || return 0
  pid=$(cat "$PIDS/$1")
  kill -"${2:-TERM}" -- "-$pid" 2> /dev/null || true
  for _ in $(seq 100); do kill -0 -- "-$pid" 2> /dev/null || break; sleep 0.1; done
  kill -KILL -- "-$pid" 2> /dev/null || true
  rm -f "$PIDS/$1"
}
# answers SECONDS WHAT COMMAND…: until the command succeeds.
answers() {
  local until=$(($(date +%s) + $1)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    [ "$(date +%s)" -lt "$until" ] || { echo "no answer of $what; see $LOGS" >&2; exit 1; }
    sleep 0.1
  done
}
# start_cinder_volume [FOLDER]: with what the folder has of Python packages in place of those that are installed.
start_cinder_volume() {
  start_service cinder-volume env PYTHONPATH="${1:+$1:}$RIG_SCRIPTS" "$VENV/bin/cinder-volume" --config-file "$CONF/cinder/cinder.conf"
}
