#!/usr/bin/env bash
# test: the Cinder driver's own tests and Cinder's compliance tests of it, on a real daemon with real devices
# timeout: 1200
#
# The claim cinder/unit has them with a limit of a minute and the linters, cinder/smoke and cinder/tempest have the real services.
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
need_loop
install_openstack
drivers_tests
