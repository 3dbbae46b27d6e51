#!/usr/bin/env bash
# Runs tempest's tests of the volume API and cinder-tempest-plugin's against the rig: tempest.sh [REGEX]. Prints counts and
# reasons; ends with 0 if none failed. What is tested is the first of RIG_BACKENDS.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
work=$RIG/tempest
mkdir -p "$work"
[ -d "$work/.stestr" ] || "$VENV/bin/tempest" init --workspace-path "$RIG/workspace.yaml" "$work" > /dev/null 2>&1
cat > "$work/etc/tempest.conf" << C
[DEFAULT]
log_file = tempest.log
[oslo_concurrency]
lock_path = $work/locks
[auth]
use_dynamic_credentials = true
create_isolated_networks = false
admin_username = admin
admin_password = $PASSWORD
admin_project_name = admin
admin_domain_name = Default
tempest_roles = member
[identity]
uri_v3 = $OS_AUTH_URL
v3_endpoint_type = public
[service_available]
cinder = true
glance = true
nova = false
neutron = true
swift = false
horizon = false
[compute]
image_ref = $(cat "$RIG/small-raw.id")
image_ref_alt = $(cat "$RIG/small-qcow2.id")
[image]
disk_formats = raw,qcow2
[validation]
run_validation = false
[volume]
min_microversion = 3.0
max_microversion = latest
manage_snapshot_ref = source-name,snapshot-%s
backend_names = $BACKENDS
storage_protocol = local
vendor_name = restblk
backup_driver = posix
build_timeout = 300
build_interval = 1
volume_type = ${BACKENDS%%,*}
[volume-feature-enabled]
multi_backend = true
backup = true
snapshot = true
clone = true
manage_volume = true
manage_snapshot = true
extend_attached_volume = true
extend_volume_with_snapshot = true
volume_revert = true
consistency_group = false
concurrency_tests = true
enable_volume_image_dep_tests = true
volume_image_dep_tests = true
[enforce_scope]
cinder = true
C
# Two look at the bytes from inside a server, and do not say so in time to a cloud without compute: test_incremental_backup, and
# test_snapshot_data_integrity, whose set-up comes before it is skipped.
cd "$work"
tests() { "$VENV/bin/tempest" run "$@" >> "$RIG/tempest.log" 2>&1; }
results() { "$VENV/bin/stestr" last --subunit > "$RIG/tempest.$1" 2> /dev/null || true; }
: > "$RIG/tempest.log"
if tests --exclude-regex 'VolumesBackupsTest.test_incremental_backup\[|SnapshotDataIntegrityTests' --regex "${1:-^(tempest\.api\.volume|cinder_tempest_plugin)}" --concurrency "${CONCURRENCY:-2}"; then
  results 1
else
  # Some look at what follows a moment later, which is long on a busy machine: what failed is tried again, alone, and told.
  results 1
  "$VENV/bin/stestr" failing --list > "$RIG/failed" 2> /dev/null || true
  tests --load-list "$RIG/failed" --serial || true
  results 2
fi
"$VENV/bin/python" "$RIG_SCRIPTS/results.py" "$RIG"/tempest.[12] | tee "$RIG/tempest.results"
echo "left out  2: need a compute service without saying so: cinder_tempest_plugin's VolumesBackupsTest.test_incremental_backup, SnapshotDataIntegrityTests"
head -n 1 "$RIG/tempest.results" | grep -q ' 0 failed'
