#!/usr/bin/env bash
# claim: 4 KiB random overwrites of a full volume for ten times its size: garbage collection keeps up, space stays under its bound, nobody waits 2 s
# timeout: 1800
. "$RESTBLK_ROOT/tests/lib.sh"
need fio jq
need_loop

mib=${STEADY_MIB:-1024}
mkdir "$WORK/store"
start_daemon "[control]" "enabled = false" "[journal]" 'size = "512M"'
restblk -q pool create main --store file --url "file://$WORK/store/"
restblk -q create main/a "${mib}M" --layout log
device=$(restblk -q attach main/a --transport loop)
# what does not pack, so that what is written is what is stored
fill() { fio --name="$1" --filename="$device" --aux-path="$WORK" --direct=1 --ioengine=libaio --refill_buffers --buffer_compress_percentage=0 "${@:2}" --output-format=json --output="$WORK/$1.json"; }

say "full"
fill full --rw=write --bs=1M --iodepth=8 --end_fsync=1
say "overwritten ten times"
start writer fio --name=over --filename="$device" --aux-path="$WORK" --direct=1 --ioengine=libaio --refill_buffers --rw=randwrite --bs=4k --iodepth=32 \
  --norandommap --random_generator=tausworthe64 --size="${mib}M" --io_size="$((10 * mib))M" --end_fsync=1 --output-format=json --output="$WORK/over.json"
most=0
while ! not_running writer; do
  bytes=$(du -sb "$WORK/store/.restblk/vol" 2> /dev/null | cut -f1) || true
  [ "${bytes:-0}" -le $most ] || most=$bytes
  echo "$(elapsed_ms) $((bytes >> 20))" >> "$WORK/space"; sleep 0.5
done
restblk -o json show main/a > "$WORK/show.json"
jq -e '.jobs[0].error == 0' "$WORK/over.json" > /dev/null || fail "fio: $(cat "$WORK/writer.log")"
# docs/log.md: half of what is stored may be dead, and what is written and freed between two heads comes on top
bound=$((2 * mib + mib / 4 + 256))
[ $((most >> 20)) -le $bound ] || fail "the store had $((most >> 20)) MiB of a volume of $mib MiB; the bound is $bound"
stall=$(jq '.jobs[0].write.clat_ns.max / 1000000 | floor' "$WORK/over.json")
[ "$stall" -le 2000 ] || fail "a write took $stall ms"
memory=$(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$(pid_of daemon)/status")
[ "$memory" -le 512 ] || fail "the daemon had $memory MiB of memory"
amplification=$(jq -r '.usage.open | .put / .written * 100 | round / 100' "$WORK/show.json")
iops=$(jq '.jobs[0].write.iops | floor' "$WORK/over.json")
say "at rest"
wait_for 120 "the end of garbage collection" sh -c "[ \$(du -sb '$WORK/store/.restblk/vol' | cut -f1) -le $((7 * mib << 18)) ]"
figure "$iops overwrites of 4 KiB a second for ten times the volume's $mib MiB: at most $((most >> 20)) MiB on the store (bound $bound), put per byte written $amplification, the slowest write $stall ms, at most $memory MiB of memory"
