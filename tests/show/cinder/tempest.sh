#!/usr/bin/env bash
# claim: tempest's tests of the volume API and cinder-tempest-plugin's that need no compute service pass on log volumes of real services, at least as many as a driver of plain files passes
# timeout: 10800
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
# What cinder/rig/filevol.py gets: RIG_BACKENDS=file,direct before this script.
bar=334
start_openstack
from=$(elapsed_ms)
status=0
in_openstack tempest | tee "$WORK/results" || status=$?
[ "$status" = 0 ] || fail "$(grep -E '^failed|passed' "$WORK/results"); see openstack/tempest.log"
passed=$(grep -Eo '^[0-9]+ passed' "$WORK/results" | cut -d' ' -f1)
[ "$passed" -ge $bar ] || fail "$passed passed, and $bar with plain files"
figure "$(head -n1 "$WORK/results") ($(grep -c 'when tried again' "$WORK/results" || true) at the second try), $bar with plain files, in $((($(elapsed_ms) - from) / 60000)) min; $(sed -n 's/^skipped *//p' "$WORK/results" | paste -sd';')"
