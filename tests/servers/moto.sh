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

# moto_user NAME ACTION…: a user who may do these (`s3:*`) and nothing else; sets MOTO_KEY and MOTO_SECRET. Before moto_guard.
moto_user() {
  local policy
  policy=$(jq -nc '{ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: $ARGS.positional, Resource: "*" }] }' --args "${@:2}")
  moto_iam CreateUser --data-urlencode "UserName=$1" > /dev/null
  moto_iam PutUserPolicy --data-urlencode "UserName=$1" --data-urlencode PolicyName=p --data-urlencode "PolicyDocument=$policy" > /dev/null
  moto_iam CreateAccessKey --data-urlencode "UserName=$1" > "$WORK/moto.key"
  # shellcheck disable=SC2034
  MOTO_KEY=$(grep -Eo '<AccessKeyId>[^<]+' "$WORK/moto.key" | cut -d'>' -f2) MOTO_SECRET=$(grep -Eo '<SecretAccessKey>[^<]+' "$WORK/moto.key" | cut -d'>' -f2)
}
moto_iam() {
  curl -sS --fail-with-body --max-time 60 --user AKTEST:SKTEST --aws-sigv4 aws:amz:us-east-1:iam --insecure \
    --data "Action=$1&Version=2010-05-08" "${@:2}" "$MOTO_URL/"
}
# From now on moto checks signatures and rights.
moto_guard() { curl -sS --fail-with-body --insecure -o /dev/null -H 'Content-Type: text/plain' --data 0 "$MOTO_URL/moto-api/reset-auth"; }
