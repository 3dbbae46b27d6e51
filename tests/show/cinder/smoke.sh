#!/usr/bin/env bash
# claim: by the openstack and cinder clients every operation holds on log and direct volumes of real services, byte for byte, and nothing is left
# timeout: 3600
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
start_openstack
from=$(elapsed_ms)
in_openstack smoke | tee "$WORK/smoke.log" || fail "see smoke.log and openstack/log"
figure "$(sed -n 's/^checks: //p' "$WORK/smoke.log") in $((($(elapsed_ms) - from) / 1000)) s; the pool empty again"
