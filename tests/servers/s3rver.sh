# shellcheck shell=bash
# s3rver: S3 over a directory, from npm; it knows no conditions. start_s3rver BUCKET… sets S3RVER_URL; the keys are S3RVER
# and S3RVER.

install_s3rver() { installed s3rver-3.7.1 by_npm s3rver@3.7.1; }

start_s3rver() {
  install_s3rver
  local port bucket buckets=()
  port=$(free_port)
  for bucket; do buckets+=(--configure-bucket "$bucket"); done
  start s3rver "$SERVERS/s3rver-3.7.1/node_modules/.bin/s3rver" --address 127.0.0.1 --port "$port" --directory "$WORK/s3rver" "${buckets[@]}"
  # shellcheck disable=SC2034
  S3RVER_URL=http://127.0.0.1:$port
  wait_for 20 "the answer of s3rver" started_and_answers s3rver "$S3RVER_URL/"
}
