# shellcheck shell=bash
# OpenStack's services from PyPI, with MariaDB and RabbitMQ from Debian: cinder/rig. start_openstack starts a store, a daemon with the pool "cinder", and
# all of the services with $WORK/openstack for their state, and takes these down at the script's end. in_openstack COMMAND… runs a script of the rig.
# What cinder/rig/env.sh takes from its environment, RIG_BACKENDS and so on, is given as variables of the script before that.

# Another list of packages is another installation.
OPENSTACK=$SERVERS/openstack-29.0.0.$(cat "$RESTBLK_ROOT"/cinder/rig/{install.sh,requirements.txt} | sha256sum | cut -c1-8)

install_openstack() {
  apt_packages python3-venv curl jq
  installed "$(basename "$OPENSTACK")" "$RESTBLK_ROOT/cinder/rig/install.sh"
  install_driver "$OPENSTACK/venv"
}
# install_driver VENV: from a copy, for pip builds in the folder that it is given.
install_driver() {
  cp -r "$RESTBLK_ROOT/cinder" "$WORK/cinder"
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$WORK/cinder"
}
# drivers_tests: the driver's own, all of them; prints `Ran N tests in S s`.
drivers_tests() {
  (cd "$RESTBLK_ROOT/cinder" && PYTHONDONTWRITEBYTECODE=1 TMPDIR=$WORK in_openstack_venv python -m unittest discover -t . -s tests) > "$WORK/unit.log" 2>&1 ||
    fail "$(cat "$WORK/unit.log")"
  ! grep -q skipped "$WORK/unit.log" || fail "tests were skipped: $(tail -n 3 "$WORK/unit.log")"
  grep -E '^Ran [0-9]+ tests' "$WORK/unit.log"
}
in_openstack_venv() { "$OPENSTACK/venv/bin/$1" "${@:2}"; }
in_openstack() { env "${openstack_env[@]}" "$RESTBLK_ROOT/cinder/rig/$1.sh" "${@:2}"; }
# start_openstack [URL…]: with a pool over these mirrors, or else over a store of its own.
start_openstack() {
  need jq
  need_loop
  if [ $# = 0 ]; then
    start_store
    set -- "$STORE_URL/cdmi/2.0.0/"
  fi
  start_daemon "[control]" "enabled = false" "[journal]" 'size = "64M"'
  restblk -q pool create cinder "${@/#/--url=}" > "$WORK/pool.txt"
  install_openstack
  mkdir -p "$WORK/openstack"
  local ports=() _
  for _ in 1 2 3 4 5 6; do ports+=("$(free_port)"); done
  openstack_env=(RIG_PORTS="${ports[*]}" OPENSTACK="$OPENSTACK" RIG="$WORK/openstack" RESTBLK_SOCKET="$WORK/run/api.sock"
    RIG_TRANSPORT="${RIG_TRANSPORT:-loop}" RIG_BACKENDS="${RIG_BACKENDS:-log,direct}")
  openstack_began=1
  in_openstack up || fail "OpenStack does not start; see $WORK/openstack/log"
}
# Cinder's drivers without its services, of the last release that there was: $CINDERLIB. It asks for a cinder of 2024, and no longer finds by itself the
# SQLAlchemy of its time.
CINDERLIB=$SERVERS/cinderlib-5.2.0
install_cinderlib() {
  apt_packages python3-venv jq
  installed cinderlib-5.2.0 in_venv cinderlib==5.2.0 cinder==23.5.0 'SQLAlchemy<2' 'alembic<1.13' 'oslo.db<15' ddt==1.7.2
  install_driver "$CINDERLIB"
}
# A script that has its own last words calls this first in them.
finally() { [ -z "${openstack_began:-}" ] || in_openstack down > /dev/null 2>&1; }
