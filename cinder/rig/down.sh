#!/usr/bin/env bash
# Ends what up.sh started, by pid file: OpenStack's services at a time, then what they stand on.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
for name in cinder-backup cinder-volume cinder-scheduler cinder-api glance keystone; do end_service "$name" & done
wait
for name in rabbitmq epmd mysql; do end_service "$name"; done
