# shellcheck shell=bash
# moto: AWS in memory, from PyPI. start_moto [OPTIONS of moto_server…] sets MOTO_URL; any credentials will do. Buckets are made with
# `curl -X PUT $MOTO_URL/NAME`.

install_moto() { installed moto-5.2.5 in_venv 'moto[s3,server,sts,iam]==5.2.5'; }

start_moto() {
  install_moto
  local port
  port=$(free_port)
  start moto "$SERVERS/moto-5.2.5/bin/python" -m moto.server -H 127.0.0.1 -p "$port" "$@"
  # shellcheck disable=SC2034
  MOTO_URL=http://127.0.0.1:$port
  wait_for 60 "moto's answer" started_and_answers moto "$MOTO_URL/"
}
