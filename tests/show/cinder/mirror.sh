#!/usr/bin/env bash
# claim: a mirror that is killed while Cinder copies an image into a volume of its pool is not noticed: the volume becomes available, byte for byte the image
# timeout: 2400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/mirrors.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
mib=${IMAGE_MIB:-512}
for n in 1 2; do start_mirror $n; done
RIG_BACKENDS=log
start_openstack "$(url 1)" "$(url 2)"
requests() { restblk -o json mirror list cinder | jq -r ".[] | select(.url == \"$(url "$1")\").requests"; }

upload() { in_openstack client openstack image create --disk-format raw --container-format bare --file "$image" image -f value -c id; }
image=$WORK/image.raw
head -c $((mib << 20)) /dev/urandom > "$image"
id=$(upload)
# each mirror in turn, in copies of their own; a second image so that Cinder's cache does not clone
for n in 1 2; do
  [ $n = 1 ] || id=$(upload)
  volume=$(in_openstack client openstack volume create --size $(((mib + 1023) / 1024)) --image "$id" "of-image-$n" -f value -c id)
  is_written() { [ "$(restblk -o json show "cinder/volume-$volume" | jq '.usage.open.put // 0')" -gt $(((mib << 20) / 8)) ]; }
  wait_for 600 "the copying of an image" is_written
  before=$(requests $n)
  crash "m$n"
  say "mirror $n was killed after $before requests, $(restblk -o json show "cinder/volume-$volume" | jq '(.usage.open.put // 0) / 1048576 | floor') MiB into the copy"
  ended() { status=$(in_openstack client openstack volume show "$volume" -f value -c status); [ "$status" != downloading ] && [ "$status" != creating ]; }
  wait_for 900 "the end of the copy" ended
  equal "the volume's status" available "$(in_openstack client openstack volume show "$volume" -f value -c status)"
  restblk -o json mirror list cinder | jq -e ".[] | select(.url == \"$(url $n)\").errors > 0" > "$WORK/errors.txt" || fail "the copy had ended before mirror $n was killed"
  device=$(restblk -q attach "cinder/volume-$volume" --read-only --transport loop)
  cmp -n $((mib << 20)) "$image" "$device" || fail "the bytes are not the image's"
  restblk -q detach "cinder/volume-$volume"
  start_server $n
  is_back() { restblk -o json mirror list cinder | jq -e ".[] | select(.url == \"$(url $n)\").state | . == \"up\" or . == \"half-open\""; }
  wait_for 120 "the return of mirror $n" is_back
  say "mirror $n is back"
done
figure "each of two mirrors killed while $mib MiB of an image were copied: both copies became available and compared equal"
