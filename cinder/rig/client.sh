#!/usr/bin/env bash
# Runs a program of the rig's environment as the cloud's administrator: client.sh openstack …, client.sh cinder …,
# client.sh python NAME.py …, where NAME.py is the rig's own.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ "$1" != python ] || set -- python "$RIG_SCRIPTS/$2" "${@:3}"
exec "$@"
