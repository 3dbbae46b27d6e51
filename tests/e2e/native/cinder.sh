#!/usr/bin/env bash
# test: the Cinder driver's own tests and Cinder's compliance tests of it, on a real daemon with real devices
# timeout: 1200
#
# The claim cinder/unit has them with a limit of a minute and the linters, cinder/smoke and cinder/tempest have the real services.
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
need_loop
install_openstack
cd "$RESTBLK_ROOT/cinder"
export PYTHONDONTWRITEBYTECODE=1
TMPDIR=$WORK in_openstack_venv python -m unittest discover -t . -s tests > "$WORK/tests.log" 2>&1 || fail "$(grep -A 12 -E '^(ERROR|FAIL):' "$WORK/tests.log" | head -n 60)"
! grep -q skipped "$WORK/tests.log" || fail "tests were skipped: $(tail -n 3 "$WORK/tests.log")"
grep -E '^Ran ' "$WORK/tests.log"
