#!/usr/bin/env bash
# claim: the functional tests of cinderlib, which are not ours, pass on log volumes
# timeout: 2400
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
need_loop
start_store
start_daemon "[control]" "enabled = false" "[journal]" 'size = "64M"'
restblk -q pool create cinder --url "$STORE_URL/cdmi/2.0.0/"
install_cinderlib
cat > "$WORK/cinderlib.yaml" << C
logs: true
debug: false
backends:
  - volume_backend_name: log
    volume_driver: restblk_cinder.driver.RestblkDriver
    restblk_socket: $WORK/run/api.sock
    restblk_pool: cinder
    restblk_transport: loop
    restblk_local_hosts: '*'
C
CL_FTEST_CFG=$WORK/cinderlib.yaml CL_FTEST_ROOT_HELPER=env "$CINDERLIB/bin/python" -W ignore -m unittest -v cinderlib.tests.functional.test_basic \
  > "$WORK/cinderlib.log" 2>&1 || fail "$(tail -n 30 "$WORK/cinderlib.log")"
! grep -q skipped "$WORK/cinderlib.log" || fail "tests were skipped: $(grep skipped "$WORK/cinderlib.log")"
equal "volumes that are left" 0 "$(restblk -o json list cinder | jq length)"
equal "devices that are left" 0 "$(restblk -o json devices | jq length)"
figure "$(grep -Eo '^Ran [0-9]+ tests' "$WORK/cinderlib.log" | sed 's/Ran //') of cinderlib 5.2.0 with cinder 23.5 passed; nothing is left"
