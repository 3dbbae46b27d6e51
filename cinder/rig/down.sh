#!/usr/bin/env bash
# Ends what up.sh started, by pid file.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
for name in cinder-backup cinder-volume cinder-scheduler cinder-api glance keystone rabbitmq epmd mysql; do end_service "$name"; done
