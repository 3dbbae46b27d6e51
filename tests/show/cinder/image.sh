#!/usr/bin/env bash
# claim: a snapshot and a clone of a volume of a 2 GiB image take under 2 s each through Cinder's API, where a driver that copies takes many times as long
# timeout: 3000
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
gib=${IMAGE_GIB:-2}
[ "$(df --output=avail -B1G "$WORK" | tail -n1)" -ge $((gib * 7)) ] || skip "this needs $((gib * 7)) GiB of disk"
RIG_BACKENDS=log,file
start_openstack

upload() { in_openstack client openstack image create --disk-format raw --container-format bare --file "$image" image -f value -c id; }
# of bytes that nothing can leave out
image=$WORK/image.raw
openssl enc -aes-128-ctr -nosalt -pass pass:image < /dev/zero 2> "$WORK/openssl.txt" | head -c $((gib << 30)) > "$image" || true
equal "the image's size" $((gib << 30)) "$(stat -c %s "$image")"
id=$(upload)
# which keeps it as it is
rm "$image"
image=$WORK/openstack/images/$id
say "the image is there"
in_openstack client python copies.py "$id" "$gib" log file > "$WORK/copies.json"
of() { jq -r ".$1" "$WORK/copies.json"; }
say "log: $(jq -c '.log | map_values(.ms)' "$WORK/copies.json"); file: $(jq -c '.file | map_values(.ms)' "$WORK/copies.json")"

for what in clone of_snapshot; do
  volume=cinder/volume-$(of "log.$what.id")
  device=$(restblk -q attach "$volume" --read-only --transport loop)
  cmp "$image" "$device" || fail "the bytes of $what are not the image's"
  restblk -q detach "$volume"
done
for what in snapshot clone of_snapshot; do
  [ "$(of "log.$what.ms")" -lt 2000 ] || fail "$what took $(of "log.$what.ms") ms"
done
times() { jq -r "(.file.$1.ms * 10 / .log.$1.ms | round) / 10" "$WORK/copies.json"; }
figure "of a $gib GiB image: snapshot $(of log.snapshot.ms) ms, clone $(of log.clone.ms) ms, volume of the snapshot $(of log.of_snapshot.ms) ms, byte for byte; by whole copies $(of file.snapshot.ms), $(of file.clone.ms), $(of file.of_snapshot.ms) ms: $(times snapshot), $(times clone), $(times of_snapshot) times as long"
