#!/usr/bin/env bash
# claim: the client of Google Cloud Storage passes the conformance suite on an emulator, and tells one that ignores preconditions
# timeout: 900
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install gcs s3; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
need jq curl

start_fake_gcs vols
conformance "$(gcs_store "$FAKE_GCS_URL/vols/pool")" > "$WORK/fake.out" || { cat "$WORK/fake.out"; fail "the suite fails on fake-gcs-server"; }
cat "$WORK/fake.out"
start_gcp_emulator vols
! proved "$(gcs_store "$GCP_EMULATOR_URL/vols/pool")" exclusive_create || fail "an emulator without preconditions was believed"
jq -r '.notes[]' "$WORK/proof"
figure "fake-gcs-server: $(grep -Eo '^[0-9]+ checks' "$WORK/fake.out") passed, exclusive create proved in races; gcp-storage-emulator: \"$(jq -r '.notes[0]' "$WORK/proof")\""
