# shellcheck shell=bash
# moto: AWS in memory, from PyPI. start_moto [CERTIFICATE KEY] sets MOTO_URL (https:// with a certificate); any credentials will do.

install_moto() { installed moto-5.2.5 in_venv 'moto[s3,server,sts,iam]==5.2.5'; }

start_moto() {
  install_moto
  local port
  port=$(free_port)
  # One request at a time: moto's state knows no locks, and under races it loses and doubles what a real server would not.
  start moto env MOTO_PORT="$port" "$SERVERS/moto-5.2.5/bin/python" -c '
import os, sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(os.environ["MOTO_PORT"]), DomainDispatcherApplication(create_backend_app), threaded=False,
           ssl_context=tuple(sys.argv[1:]) or None)' "$@"
  # shellcheck disable=SC2034
  MOTO_URL=http$([ $# -eq 0 ] || echo s)://127.0.0.1:$port
  wait_for 60 "moto's answer" started_and_answers moto "$MOTO_URL/" --insecure
}
