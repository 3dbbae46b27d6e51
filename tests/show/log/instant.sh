#!/usr/bin/env bash
# claim: a clone of a 1 TiB volume with 20 GiB written takes under 100 ms, and the engine under 5 round trips to an object store; a volume of 100 TiB is attached within a second
# timeout: 1500
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install gcs; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
need fio jq curl
need_loop

gib=${INSTANT_GIB:-20}
mkdir "$WORK/store"
start_daemon "[control]" "enabled = false"
start_fake_gcs_in "$WORK/store" vols
restblk -q pool create main --store gcs --url "$FAKE_GCS_URL/vols/main/" --set credentials=anonymous

# all_requests: those of the store's log
all_requests() { grep -cE '"(GET|POST|PUT|PATCH|DELETE) ' "$WORK/fake-gcs.log" || true; }
# requests: those of the engine: what names its objects, and what made them (an upload is logged without its object's name); each waits for the one
# before, so they are round trips
requests() {
  local made named
  made=$(find "$WORK/store" -type f -name '*vol*' -o -type f -path '*/vol/*' | wc -l)
  named=$(grep -cE '%2Fvol%2F' "$WORK/fake-gcs.log" || true)
  echo $((made + named))
}
now_us() { echo $(($(date +%s%N) / 1000)); }

say "$gib GiB all over 1 TiB"
restblk -q create main/a 1T --layout log
device=$(restblk -q attach main/a --transport loop)
# pieces of 1 MiB, each at a place of its own in its part of the device
fio --name=w --filename="$device" --aux-path="$WORK" --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bs=1M --size=1T --io_size="${gib}G" \
  --norandommap --randrepeat=0 --buffer_compress_percentage=70 --refill_buffers --end_fsync=1 > "$WORK/fio.log"
restblk -q snapshot create main/a@then
sum() { dd if="$1" bs=1M count=64 skip=4096 iflag=direct status=none | sha256sum; }

slowest=0 most=0 most_of_all=0
for n in $(seq 1 20); do
  # what is on its way is no part of the clone
  sleep 0.5
  sent=$(requests) all=$(all_requests) begun=$(now_us)
  # by the API itself: the start of a command's process is none of the engine's time
  curl -s --fail-with-body -o "$WORK/clone.json" --unix-socket "$WORK/run/api.sock" -X POST -H 'content-type: application/json' -d "{\"volume\": \"main/c$n\"}" \
    http://localhost/v1/volumes/main/a/snapshots/then/clone || fail "clone: $(cat "$WORK/clone.json")"
  took=$(($(now_us) - begun))
  # the server writes its log a little later
  sleep 0.2
  sent=$(($(requests) - sent)) all=$(($(all_requests) - all))
  [ $took -le $slowest ] || slowest=$took
  [ $sent -le $most ] || most=$sent
  [ $all -le $most_of_all ] || most_of_all=$all
done
clone=$(restblk -q attach main/c20 --transport loop)
equal "the clone" "$(sum "$device")" "$(sum "$clone")"
restblk -q detach main/c20
[ $slowest -lt 100000 ] || fail "the slowest clone took $slowest us"
[ "$most" -gt 0 ] && [ "$most" -lt 5 ] || fail "a clone took $most requests of the engine"

say "100 TiB"
restblk -q create main/huge 100T --layout log
device=$(restblk -q attach main/huge --transport loop)
for at in 0 50 99; do
  dd if=/dev/urandom of="$device" bs=1M count=8 seek=$((at << 20)) oflag=direct conv=notrunc status=none
done
restblk -q detach main/huge
attach=0
for n in 1 2 3 4 5; do
  begun=$(now_us)
  restblk -q attach main/huge --transport loop > "$WORK/device"
  took=$(($(now_us) - begun))
  [ $took -le $attach ] || attach=$took
  restblk -q detach main/huge
done
[ $attach -lt 1000000 ] || fail "an attach took $attach us"
figure "the slowest of 20 clones of 1 TiB with $gib GiB took $((slowest / 1000)).$((slowest / 100 % 10)) ms and at most $most requests of the engine, $most_of_all with the records of both volumes; the slowest of 5 attaches of 100 TiB $((attach / 1000)) ms"
