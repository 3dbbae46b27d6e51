# shellcheck shell=bash
# s3s-fs: S3 over a directory, from the Rust registry; it checks signatures. start_s3s_fs sets S3S_URL; the keys are AKTEST and SKTEST,
# buckets are folders of $WORK/s3s.

install_s3s_fs() { installed s3s-fs-0.14.1 by_cargo s3s-fs 0.14.1 --features binary; }

start_s3s_fs() {
  install_s3s_fs
  local port
  port=$(free_port)
  mkdir -p "$WORK/s3s"
  start s3s-fs "$SERVERS/s3s-fs-0.14.1/bin/s3s-fs" --host 127.0.0.1 --port "$port" --access-key AKTEST --secret-key SKTEST "$WORK/s3s"
  # shellcheck disable=SC2034
  S3S_URL=http://127.0.0.1:$port
  wait_for 20 "the answer of s3s-fs" started_and_answers s3s-fs "$S3S_URL/"
}
