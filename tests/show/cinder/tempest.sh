#!/usr/bin/env bash
# claim: tempest's tests of the volume API and cinder-tempest-plugin's pass on log volumes of real services
# timeout: 7200
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
start_openstack
from=$(elapsed_ms)
status=0
in_openstack tempest "$@" | tee "$WORK/results" || status=$?
[ "$status" = 0 ] || fail "$(grep -E '^failed|passed' "$WORK/results"); see openstack/tempest.log"
figure "$(head -n1 "$WORK/results") in $((($(elapsed_ms) - from) / 60000)) min"
