#!/usr/bin/env bash
# One pass over every operation with the plain `openstack` and `cinder` clients, on both back ends: after each the state is
# looked at, and the bytes, which are read from the pool itself. Ends with 0 if all of it held. RESTBLK is the program.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
: "${RESTBLK:?the restblk program}"
checks=0 failures=0
# ok WHAT COMMAND…
ok() {
  local what=$1
  shift
  checks=$((checks + 1))
  if "$@" > "$TMP/said" 2>&1; then echo "ok    $what"; else echo "FAIL  $what: $(tail -n 3 "$TMP/said")"; failures=$((failures + 1)); fi
}
part() { printf -- '--- %s\n' "$*"; }
restblk() { "$RESTBLK" "$@"; }
cinder() { command cinder --os-volume-api-version 3.71 "$@"; }
is_now() { # is_now STATUS volume show NAME…
  local wanted=$1 status=
  shift
  for _ in $(seq 120); do
    status=$(openstack "$@" -f value -c status 2> /dev/null)
    [ "$status" = "$wanted" ] && return
    [[ $status == error* ]] && break
    sleep 0.5
  done
  echo "it is $status, not $wanted"
  return 1
}
gone() { for _ in $(seq 120); do openstack "$@" > /dev/null 2>&1 || return 0; sleep 0.5; done; return 1; }
make() { openstack volume create "${@:2}" "$1" > /dev/null && is_now available volume show "$1"; }
fails() { # fails REGEX COMMAND…
  local said
  if said=$("${@:2}" 2>&1); then echo "it did what it must refuse"; return 1; fi
  grep -Eqi -- "$1" <<< "$said" || { echo "it said: $said"; return 1; }
}
id_of() { openstack "${2:-volume}" show -f value -c id "$1"; }
in_pool() { echo "cinder/volume-$(cinder show "$1" 2> /dev/null | awk '$2 == "os-vol-mig-status-attr:name_id" && $4 != "None" { print $4 } $2 == "id" { id = $4 } END { print id }' | head -n1)"; }
# holds NAME: its bytes are the image's, and zeros follow
holds() { has "$(in_pool "$1")"; }
differs() { ! holds "$1"; }
has() {
  local device status=0
  device=$(restblk -q attach "$1" --read-only --transport "${RIG_TRANSPORT:-auto}") || return 1
  cmp -n "$(stat -c %s "$raw")" "$raw" "$device" || status=1
  restblk -q detach "$1"
  return $status
}
in_trash_is() { restblk -q -o json trash list cinder | jq -e "$1" > /dev/null; }
in_pool_is() { restblk -q -o json list cinder | jq -e "$1" > /dev/null; }
raw=$TMP/small.raw

openstack quota set --volumes 50 --snapshots 50 --gigabytes 1000 admin
part "volumes"
ok "create" make v1 --size 1
ok "of a raw image" make vr --size 1 --image small-raw
ok "  its bytes" holds vr
ok "of a qcow2 image" make vq --size 1 --image small-qcow2
ok "  its bytes" holds vq
ok "of the raw image again, from the cache" make vr2 --size 2 --image small-raw
ok "  its bytes" holds vr2
ok "  the cache has one volume for each image" test "$(openstack volume list --all-projects -f value -c Name | grep -c '^image-')" = 2
ok "extend" openstack volume set --size 3 vr2
ok "  available" is_now available volume show vr2
ok "  on the store too" in_pool_is "any(.[]; .volume == \"$(in_pool vr2)\" and .size == 3 * 1073741824)"

part "snapshots and clones"
ok "snapshot" openstack volume snapshot create --volume vr s1
ok "  available" is_now available volume snapshot show s1
ok "a larger volume of it" make vs --size 2 --snapshot s1
ok "clone" make vc --size 2 --source vr
ok "  bytes of the snapshot's volume" holds vs
ok "  bytes of the clone" holds vc
ok "write to the volume" bash -c "device=\$($RESTBLK -q attach $(in_pool vr) --transport ${RIG_TRANSPORT:-auto}) && dd if=/dev/urandom of=\$device bs=1M count=8 conv=fsync && $RESTBLK -q detach $(in_pool vr)"
ok "  its bytes are others now" differs vr
ok "revert to the snapshot" cinder revert-to-snapshot s1
ok "  available" is_now available volume show vr
ok "  its bytes" holds vr

part "images"
for kind in raw qcow2; do
  ok "upload as $kind" openstack image create --volume vr --disk-format $kind up-$kind
  ok "  active" is_now active image show up-$kind
  ok "  volume available" is_now available volume show vr
  ok "  download" openstack image save --file "$TMP/up.$kind" up-$kind
done
qemu-img convert -O raw "$TMP/up.qcow2" "$TMP/up-qcow2.raw"
ok "  bytes of the raw one" cmp -n "$(stat -c %s "$raw")" "$raw" "$TMP/up.raw"
ok "  bytes of the qcow2 one" cmp -n "$(stat -c %s "$raw")" "$raw" "$TMP/up-qcow2.raw"
image=$(openstack image create --disk-format raw --container-format bare --file "$raw" in-pool -f value -c id)
restblk -q create "cinder/image-$image" 1G --layout log > /dev/null
device=$(restblk -q attach "cinder/image-$image" --transport "${RIG_TRANSPORT:-auto}")
dd if="$raw" of="$device" bs=1M conv=fsync status=none
restblk -q detach "cinder/image-$image"
restblk -q snapshot create "cinder/image-$image@image" > /dev/null
ok "volume of an image that lies in the pool" make vi --size 1 --image in-pool
ok "  its bytes" holds vi
ok "  it is a clone" bash -c "[ \$($RESTBLK -q -o json snapshot list cinder/image-$image | jq '.[0].clones') = 1 ]"

part "backups"
ok "backup" openstack volume backup create --name b1 vr
ok "  available" is_now available volume backup show b1
ok "one that is incremental" openstack volume backup create --incremental --name b2 vr
ok "  available" is_now available volume backup show b2
ok "one of a snapshot" openstack volume backup create --snapshot s1 --force --name b3 vr
ok "  available" is_now available volume backup show b3
ok "  volume available" is_now available volume show vr
ok "restore" openstack volume backup restore b2 vb
ok "  available" is_now available volume show vb
ok "  its bytes" holds vb
for backup in b3 b2 b1; do
  ok "delete $backup" openstack volume backup delete $backup
  ok "  gone" gone volume backup show $backup
done

part "types"
ok "retype to one with QoS" openstack volume set --type log-slow vs
for _ in $(seq 60); do [ "$(openstack volume show -f value -c type vs)" = log-slow ] && break; sleep 0.5; done
ok "  available" is_now available volume show vs
ok "  its limit and durability hold" in_pool_is "any(.[]; .volume == \"$(in_pool vs)\" and .rate_limits.iops == 500 and .durability == \"remote\")"
ok "retype with migration, log to direct" openstack volume set --type direct --retype-policy on-demand vq
for _ in $(seq 120); do [ "$(openstack volume show -f value -c type vq 2> /dev/null)" = direct ] && break; sleep 0.5; done
ok "  available, of type direct" is_now available volume show vq
ok "  its bytes" holds vq
ok "  a direct volume" in_pool_is "any(.[]; .volume == \"$(in_pool vq)\" and .layout == \"direct\")"
ok "multi-attach is refused" bash -c "openstack volume create --size 1 --type multiattach vm && sleep 3 && [ \"\$(openstack volume show -f value -c status vm)\" = error ]"
ok "  deleted" openstack volume delete vm

part "direct volumes"
ok "create" make d1 --size 1 --type direct
ok "of an image" make di --size 1 --type direct --image small-raw
ok "  its bytes" holds di
ok "clone, by copying" make dc --size 2 --type direct --source di
ok "  its bytes" holds dc
ok "extend" openstack volume set --size 2 d1
ok "  available" is_now available volume show d1
openstack volume snapshot create --volume d1 ds > /dev/null
ok "a snapshot is refused" bash -c "sleep 3; [ \"\$(openstack volume snapshot show -f value -c status ds)\" = error ]"
ok "  with the reason in the log" grep -q 'no snapshot of a direct volume is possible' "$LOGS/cinder-volume.log"
ok "  deleted" openstack volume snapshot delete ds
ok "  gone" gone volume snapshot show ds

part "manage"
id=$(id_of v1)
ok "unmanage" cinder unmanage "$id"
ok "  gone from Cinder" gone volume show "$id"
ok "the list of what can be managed names it" bash -c "cinder --os-volume-api-version 3.71 manageable-list rig@log#log | grep -q 'volume-$id.*True'"
ok "manage" cinder manage --name v1 --id-type source-name rig@log#log "volume-$id"
ok "  available" is_now available volume show v1
restblk -q create cinder/by-hand 1500M --layout log > /dev/null
ok "manage one made by hand" cinder manage --name vh --id-type source-name rig@log#log by-hand
ok "  available" is_now available volume show vh
ok "  of 2 GiB" test "$(openstack volume show -f value -c size vh)" = 2
restblk -q snapshot create cinder/by-hand@monday > /dev/null
ok "manage its snapshot" cinder snapshot-manage --name sm --id-type source-name "$(id_of vh)" monday
ok "  available" is_now available volume snapshot show sm
ok "unmanage the snapshot" cinder snapshot-unmanage "$(openstack volume snapshot show -f value -c id sm)"
ok "  gone from Cinder" gone volume snapshot show sm
ok "  still there" restblk -q snapshot delete cinder/by-hand@monday --yes
ok "delete the managed volume" openstack volume delete vh
ok "  gone" gone volume show vh
ok "  gone from the pool" in_pool_is 'all(.[]; .volume != "cinder/by-hand")'

part "attachments"
attached() { restblk -q -o json devices | jq -e "any(.[]; .volume == \"$(in_pool vc)\")" > /dev/null; }
vc=$(id_of vc)
ok "attach" cinder attachment-create --connect True --ip 127.0.0.1 --host rig "$vc"
attachment=$(cinder attachment-list --volume-id "$vc" 2> /dev/null | awk -F'|' 'NR == 4 { gsub(/ /, "", $2); print $2 }')
ok "  the device is there" attached
ok "  with the image's bytes" cmp -n "$(stat -c %s "$raw")" "$raw" "$(restblk -q -o json devices | jq -r ".[] | select(.volume == \"$(in_pool vc)\").device")"
cinder attachment-complete "$attachment" > /dev/null
ok "  in use" is_now in-use volume show vc
ok "  extend while attached" cinder extend "$vc" 4
ok "  in use" is_now in-use volume show vc
ok "  the device has grown" bash -c "[ \$($RESTBLK -q -o json devices | jq '.[] | select(.volume == \"$(in_pool vc)\").device_size') = $((4 << 30)) ]"
ok "  snapshot while attached" openstack volume snapshot create --force --volume vc sa
ok "  available" is_now available volume snapshot show sa
ok "  backup while attached" openstack volume backup create --force --name ba vc
ok "  available" is_now available volume backup show ba
ok "  in use" is_now in-use volume show vc
ok "  upload while attached" cinder upload-to-image --force True --disk-format raw "$vc" up-used
ok "  active" is_now active image show up-used
ok "  the device is still there" attached
ok "a second attachment is refused" fails 'status must be|multiattach|available' cinder attachment-create --connect True --ip 127.0.0.1 --host rig "$vc"
ok "another host's connector is refused" fails 'host that is this one|Unable to update|Invalid' cinder attachment-create --connect True --ip 127.0.0.1 --host elsewhere "$(id_of vs)"
for other in $(cinder attachment-list --volume-id "$(id_of vs)" 2> /dev/null | awk -F'|' 'NR > 3 && NF > 2 { gsub(/ /, "", $2); print $2 }'); do cinder attachment-delete "$other" > /dev/null 2>&1; done
end_service cinder-volume KILL
start_cinder_volume
ok "cinder-volume is killed and comes back" "$VENV/bin/python" "$RIG_SCRIPTS/seed.py" wait
ok "  the device is still there" attached
ok "detach" cinder attachment-delete "$attachment"
ok "  available" is_now available volume show vc
ok "  the device has gone" bash -c "! $RESTBLK -q -o json devices | jq -e 'any(.[]; .volume == \"$(in_pool vc)\")'"
ok "delete its snapshot" openstack volume snapshot delete sa
ok "delete its backup" openstack volume backup delete ba

part "deleted in Cinder's orders"
ok "the snapshot, while a volume reads from it" openstack volume snapshot delete s1
ok "  gone" gone volume snapshot show s1
vr=$(in_pool vr)
ok "  and its volume" openstack volume delete vr
ok "  gone" gone volume show vr
ok "  kept for its clones, in the trash" in_trash_is "any(.[]; .volume == \"$vr\")"
ok "  which read on" holds vs
ok "  and the clone" holds vc
for name in v1 vr2 vq vs vc vb vi d1 di dc; do ok "delete $name" openstack volume delete $name; done
for name in v1 vr2 vq vs vc vb vi d1 di dc; do ok "  $name has gone" gone volume show $name; done
openstack image delete up-raw up-qcow2 up-used in-pool
for name in $(openstack volume list --all-projects -f value -c ID -c Name | awk '$2 ~ /^image-/ { print $1 }'); do
  ok "delete a volume of the cache" openstack volume delete "$name"
done
restblk -q snapshot delete "cinder/image-$image@image" --yes
for _ in $(seq 60); do restblk -q delete "cinder/image-$image" --yes 2> /dev/null && break; sleep 1; done
for _ in $(seq 60); do in_pool_is 'length == 0' && break; sleep 1; done
for _ in $(seq 60); do in_trash_is 'length == 0' && break; sleep 1; done
ok "nothing is left in the pool" in_pool_is 'length == 0'
ok "nothing is left in its trash" in_trash_is 'length == 0'
ok "nothing is left attached" bash -c "[ \$($RESTBLK -q -o json devices | jq length) = 0 ]"
echo "checks: $((checks - failures)) passed, $failures failed"
exit $((failures > 0))
