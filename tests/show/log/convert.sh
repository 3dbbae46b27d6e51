#!/usr/bin/env bash
# claim: a mounted volume is converted between the layouts direct and log, there and back, under fio with verify, with kill -9 of the daemon at random moments: no error, nothing lost
# timeout: 1800
. "$RESTBLK_ROOT/tests/lib.sh"
need mkfs.ext4 e2fsck fio jq python3
need_loop

rounds=${CONVERT_ROUNDS:-12} seed=${CONVERT_SEED:-$(date +%s)}
RANDOM=$((seed % 32768))
share_mounts
start_store
start_daemon "lease_check_s = 1" "[control]" "enabled = false" "[journal]" 'size = "64M"'
restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
restblk -q create main/a 192M
device=$(restblk -q attach main/a --transport loop)
node=$(basename "$(readlink -f "$device")")
mkfs.ext4 -q -F "$device"
mkdir "$WORK/mnt" "$WORK/runs"
mount "$device" "$WORK/mnt"
# something that lies still, beside what fio writes
cp -r "$RESTBLK_ROOT/docs" "$WORK/mnt/docs"
dd if=/dev/urandom of="$WORK/mnt/still" bs=1M count=48 status=none conv=fsync
before=$(tree_hash "$RESTBLK_ROOT/docs") still=$(sha256sum < "$WORK/mnt/still")

cat > "$WORK/fio.sh" << 'END'
run=0
while [ ! -e "$WORK/stop" ]; do
  run=$((run + 1))
  fio --name=f --directory="$WORK/mnt" --aux-path="$WORK" --size=32m --rw=randwrite --bsrange=4k-64k --ioengine=libaio --iodepth=8 --direct=1 \
    --fsync=64 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randseed="$1$run" --output-format=json --output="$WORK/fio.json" > "$WORK/fio.txt" 2>&1 ||
    { cat "$WORK/fio.txt" "$WORK/fio.json"; exit 1; }
  mv "$WORK/fio.json" "$WORK/runs/$run.json"
done
END
start fio bash "$WORK/fio.sh" "$seed"
has_run() { [ -e "$WORK/runs/$1.json" ]; }
wait_for 60 "fio's first run" has_run 1

still_at_work() { is_running fio || fail "round $round, seed $seed: fio got an error: $(tail -n 20 "$WORK/fio.log")"; }
is_active() { restblk -o json devices | jq -e 'length == 1 and .[0].state == "active"' > "$WORK/jq.txt"; }
nap() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }
# requests of the device, so far
done_ios() { awk '{ print $1 + $5 }' "/sys/block/$node/stat"; }
settled() { restblk -o json show main/a | jq -e --arg to "$to" '.layout == $to and .conversion == null'; }

# what is measured: I/O while it is converted, and in as much time before; when daemons were dead
: > "$WORK/speeds"
: > "$WORK/deaths"
to=direct kills=0 stages=''
for ((round = 1; round <= rounds; round++)); do
  if [ $to = direct ]; then to=log; else to=direct; fi
  if ((round % 2)); then
    from=$(now_ms) ios=$(done_ios)
    nap 2500
    plain=$((($(done_ios) - ios) * 1000 / ($(now_ms) - from)))
    from=$(now_ms) ios=$(done_ios)
    restblk -q convert main/a --to $to > "$WORK/convert.txt" 2>&1 || fail "round $round, seed $seed: $(cat "$WORK/convert.txt")"
    took=$(($(now_ms) - from))
    echo "$plain $((($(done_ios) - ios) * 1000 / took)) $took" >> "$WORK/speeds"
  else
    restblk -q convert main/a --to $to > "$WORK/convert.txt" 2>&1 &
    command=$!
    nap $((RANDOM % (${took:-3000} / 2)))
    stage=$(restblk -o json show main/a | jq -r '.conversion.stage // "none"')
    stages="$stages $stage"
    died=$(now_ms)
    crash daemon
    kills=$((kills + 1))
    wait "$command" || true
    nap $((RANDOM % 400))
    start_daemon
    wait_for 60 "the recovery of main/a (round $round, seed $seed)" is_active
    echo "$died $(now_ms)" >> "$WORK/deaths"
    # a conversion goes on by itself; one that was not begun, or is done, has to be asked for, or is refused
    if ! restblk -q convert main/a --to $to > "$WORK/convert.txt" 2>&1; then
      grep -q 'already' "$WORK/convert.txt" || fail "round $round, seed $seed, killed at $stage: $(cat "$WORK/convert.txt")"
    fi
  fi
  wait_for 60 "a settled volume in round $round, seed $seed" settled
  still_at_work
  if [ $to = direct ]; then
    [ -e "$WORK/store/a" ] || fail "round $round, seed $seed: there is no file of the direct volume"
    [ -z "$(find "$WORK/store/.restblk/vol" -path '*/log/*' -type f)" ] || fail "round $round, seed $seed: segments of the log volume stay"
  else
    [ ! -e "$WORK/store/a" ] || fail "round $round, seed $seed: the file of the direct volume stays"
  fi
  say "round $round: to $to, $(cat "$WORK/convert.txt")"
done

touch "$WORK/stop"
wait_for 240 "the end of fio" not_running fio
! grep -q . "$WORK/fio.log" || fail "fio got an error: $(tail -n 20 "$WORK/fio.log")"
runs=$(find "$WORK/runs" -name '*.json' | wc -l)
[ "$(jq -s '[.[].jobs[0].error] | add' "$WORK"/runs/*.json)" = 0 ] || fail "fio counted errors"
umount "$WORK/mnt"
restblk -q check main/a --deep > "$WORK/check.txt" 2>&1 || fail "seed $seed: $(cat "$WORK/check.txt")"
restblk -q detach main/a
device=$(restblk -q attach main/a --transport loop)
e2fsck -fn "$device" > "$WORK/fsck.log" 2>&1 || fail "seed $seed: ext4 is not clean: $(tail -n 5 "$WORK/fsck.log")"
mount -o ro "$device" "$WORK/mnt"
equal "what lay still" "$before $still" "$(tree_hash "$WORK/mnt/docs") $(sha256sum < "$WORK/mnt/still")"
umount "$WORK/mnt"
restblk -q detach main/a
# the longest write of the runs in which no daemon died, and the speed
told=$(python3 - "$WORK" << 'END'
import glob, json, sys
work = sys.argv[1]
deaths = [tuple(map(int, line.split())) for line in open(f"{work}/deaths")]
longest = 0
for path in glob.glob(f"{work}/runs/*.json"):
    run = json.load(open(path))
    job, ended = run["jobs"][0], run["timestamp_ms"]
    # fio's own beginning and end, and its looks at the disk, take a moment
    begun = ended - job["job_runtime"] - 5_000
    if not any(died < ended and begun < back for died, back in deaths):
        longest = max(longest, job["write"]["clat_ns"]["max"])
speeds = [tuple(map(int, line.split())) for line in open(f"{work}/speeds")]
ratio = sum(meanwhile for _, meanwhile, _ in speeds) / max(1, sum(plain for plain, _, _ in speeds))
print(f"longest write {longest // 1_000_000} ms where no daemon died; {ratio:.2f} of the plain speed meanwhile, {sum(took for *_, took in speeds) / len(speeds) / 1000:.1f} s each")
END
)
figure "$rounds conversions of 192 MiB under fio, $kills of them with a kill (at$stages; seed $seed), $runs runs all verified, fsck clean; $told"
