#!/usr/bin/env bash
# One service of those that up.sh started: service.sh end NAME [SIGNAL], or service.sh volume [FOLDER], which starts
# cinder-volume (again), with the packages in FOLDER in place of those that are installed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
case $1 in
  end) end_service "${@:2}" ;;
  volume) start_cinder_volume "${@:2}" ;;
esac
