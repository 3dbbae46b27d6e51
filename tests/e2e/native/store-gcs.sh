#!/usr/bin/env bash
# A pool on Google Cloud Storage, against fake-gcs-server: proof and conformance; a server without preconditions is told from it.
# timeout: 240
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/servers/install.sh"
. "$RESTBLK_ROOT/tests/servers/gcs.sh"
. "$RESTBLK_ROOT/tests/servers/s3.sh"
. "$RESTBLK_ROOT/tests/log.sh"
need jq curl mkfs.ext4
need_loop

start_fake_gcs vols
say "proof and conformance"
conformance "$(gcs_store "$FAKE_GCS_URL/vols/pool")" --races 20 --model 150

say "a pool"
start_daemon "[control]" "enabled = false"
restblk pool create main --store gcs --url "$FAKE_GCS_URL/vols/main/" --set credentials=anonymous
equal "what is proved" '[true,false]' "$(restblk -o json pool show main | jq -c '[.proven.exclusive_create, .proven.write_in_place]')"
refuses -m 'write in place' restblk create main/v 16M
refuses -c 6 -m 'no bucket nowhere' restblk pool create other --store gcs --url "$FAKE_GCS_URL/nowhere/" --set credentials=anonymous

say "a volume of the log layout"
log_life

say "a server that ignores preconditions"
start_gcp_emulator vols
refuses -m 'more than one may win.*single-host' restblk pool create liar --store gcs --url "$GCP_EMULATOR_URL/vols/" --set credentials=anonymous
