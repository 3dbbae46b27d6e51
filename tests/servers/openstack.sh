# shellcheck shell=bash
# OpenStack's services from PyPI, with MariaDB and RabbitMQ from Debian: cinder/rig. start_openstack starts a store, a daemon with the pool "cinder", and
# all of the services with $WORK/openstack for their state, and takes these down at the script's end. in_openstack COMMAND… runs a script of the rig.

OPENSTACK=$SERVERS/openstack-29.0.0

install_openstack() {
  apt_packages python3-venv curl jq
  installed openstack-29.0.0 "$RESTBLK_ROOT/cinder/rig/install.sh"
  # from a copy: pip builds in the folder that it is given
  cp -r "$RESTBLK_ROOT/cinder" "$WORK/cinder"
  in_openstack_venv python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$WORK/cinder"
}
in_openstack_venv() { "$OPENSTACK/venv/bin/$1" "${@:2}"; }
in_openstack() {
  env OPENSTACK="$OPENSTACK" RIG="$WORK/openstack" RESTBLK_SOCKET="$WORK/run/api.sock" RIG_TRANSPORT="${RIG_TRANSPORT:-loop}" \
    "$RESTBLK_ROOT/cinder/rig/$1.sh" "${@:2}"
}
start_openstack() {
  need jq
  need_loop
  start_store
  start_daemon "[control]" "enabled = false" "[journal]" 'size = "64M"'
  restblk -q pool create cinder --url "$STORE_URL/cdmi/2.0.0/"
  install_openstack
  mkdir -p "$WORK/openstack"
  openstack_began=1
  in_openstack up || fail "OpenStack does not start; see $WORK/openstack/log"
}
# A script that has its own last words calls this first in them.
finally() { [ -z "${openstack_began:-}" ] || in_openstack down > /dev/null 2>&1; }
