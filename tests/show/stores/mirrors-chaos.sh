#!/usr/bin/env bash
# claim: three mirrors that are killed, stopped, refused, cut off, slowed and restarted by a seeded schedule: fio with verify at depth 32 sees no error and no long stall
# timeout: 1500
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/mirrors.sh"
need fio jq curl python3
need_loop

# CHAOS_SECONDS of it (600), by CHAOS_SEED. A request is given up after so many seconds without an answer.
seconds=${CHAOS_SECONDS:-600} seed=${CHAOS_SEED:-$(date +%s)} time_out=5
RANDOM=$((seed % 32768))

for n in 1 2 3; do start_mirror $n; done
start_daemon "[control]" "enabled = false"
pool_of 1 2 3 -- --request-timeout $time_out
restblk -q create main/a 64M
device=$(restblk -q attach main/a --transport loop)

# Run after run: random writes of 4 to 64 KiB, each read back and verified some hundred later, and all of them at the end. Each request's time is kept.
cat > "$WORK/fio.sh" << 'END'
run=0
while [ ! -e "$WORK/stop" ]; do
  run=$((run + 1))
  fio --name=v --filename="$1" --aux-path="$WORK" --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite --bsrange=4k-64k --size=64M --io_size=64M \
    --verify=crc32c --verify_backlog=256 --verify_fatal=1 --verify_state_save=0 --end_fsync=1 --randseed="$2$run" \
    --write_lat_log="$WORK/lat" --log_unix_epoch=1 --per_job_logs=0 --output-format=json > "$WORK/fio.json" 2> "$WORK/fio.err" || { cat "$WORK/fio.err" "$WORK/fio.json"; exit 1; }
  jq -e '.jobs[0].error == 0 and .jobs[0].read.io_bytes > 0' "$WORK/fio.json" > "$WORK/fio.ok" || { cat "$WORK/fio.json"; exit 1; }
  # when it was answered, in ms; how long it took, in ns
  cat "$WORK"/lat_clat*.log | awk -F, '$2 > 100e6 { printf "%.0f %.0f\n", $1, $2 }' >> "$WORK/long"
  awk -F, 'END { print NR }' "$WORK"/lat_clat*.log >> "$WORK/requests"
  rm -f "$WORK"/lat_*.log
  echo $run > "$WORK/fio.runs"
done
END
touch "$WORK/long" "$WORK/requests" "$WORK/schedule"
start fio bash "$WORK/fio.sh" "$device" "$seed"

now_ms() { echo $(($(date +%s%N) / 1000000)); }
nap() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }
healthy() {
  local n
  for n in 1 2 3; do [ "$(figure_of $n .state)" = up ] || return 1; done
}
# One after the other, so that what each did can be told; every kind once in six, the mirror and the times by chance.
all=(kill stop refuse cut slow restart) kinds=() slow_own=0 slow_all=0
until=$(($(date +%s) + seconds)) round=0
while [ "$(date +%s)" -lt "$until" ]; do
  if [ ${#kinds[@]} = 0 ]; then
    # shuffled here: a subshell would draw from chance of its own
    kinds=("${all[@]}")
    for ((at = ${#kinds[@]} - 1; at > 0; at--)); do
      other=$((RANDOM % (at + 1))) kind=${kinds[at]}
      kinds[at]=${kinds[other]} kinds[other]=$kind
    done
  fi
  kind=${kinds[0]} kinds=("${kinds[@]:1}") n=$((RANDOM % 3 + 1)) lasts=$((4000 + RANDOM % 9000)) round=$((round + 1))
  begun=$(now_ms)
  case $kind in
    kill) crash "m$n"; nap $lasts; start_server $n ;;
    stop) kill -STOP "$(pid_of "m$n")"; nap $lasts; kill -CONT "$(pid_of "m$n")" ;;
    refuse) mode $n status 503; nap $lasts; mode $n pass ;;
    cut) mode $n hang; nap $lasts; mode $n pass ;;
    restart) stop "m$n"; start_server $n ;;
    slow)
      mode $n delay 500
      # what it is given once that is known
      nap 3000
      own=$(figure_of $n .requests) sum=$(restblk -o json mirror list main | jq 'map(.requests) | add')
      nap $((lasts + 3000))
      slow_own=$((slow_own + $(figure_of $n .requests) - own))
      slow_all=$((slow_all + $(restblk -o json mirror list main | jq 'map(.requests) | add') - sum))
      mode $n pass ;;
  esac
  is_running fio || fail "round $round ($kind of mirror $n), seed $seed: fio: $(tail -n 20 "$WORK/fio.log")"
  wait_for 40 "the return of mirror $n after $kind, seed $seed" healthy
  echo "$begun $(now_ms) $kind $n" >> "$WORK/schedule"
  nap $((500 + RANDOM % 1500))
done
touch "$WORK/stop"
wait_for 300 "the end of fio" not_running fio
[ -s "$WORK/fio.runs" ] || fail "fio did not finish a run: $(tail -n 20 "$WORK/fio.log")"
! grep -q . "$WORK/fio.log" || fail "fio, seed $seed: $(tail -n 20 "$WORK/fio.log")"
restblk -q detach main/a
# longest KIND…: of the requests that were answered in such rounds, the longest in ms
longest() {
  awk -v kinds=" $* " 'NR == FNR { if (index(kinds, " " $3 " ")) { from[++n] = $1; to[n] = $2 } next }
    { for (i = 1; i <= n; i++) if ($1 >= from[i] && $1 <= to[i] && $2 > most) most = $2 } END { print int(most / 1e6) }' "$WORK/schedule" "$WORK/long"
}
for kind in "${all[@]}"; do say "$(grep -c " $kind " "$WORK/schedule") times $kind: the longest request took $(longest "$kind") ms"; done
hang=$(longest stop cut) refused=$(longest kill refuse restart)
requests=$(awk '{ sum += $1 } END { print sum }' "$WORK/requests")
share=$(awk -v own=$slow_own -v all=$slow_all 'BEGIN { printf "%.1f", all ? 100 * own / all : 100 }')
[ "$requests" -gt 1000 ] || fail "fio did $requests requests only"
[ "$hang" -le $((2 * time_out * 1000)) ] || fail "seed $seed: a request took $hang ms where a mirror hung"
[ "$refused" -le 1000 ] || fail "seed $seed: a request took $refused ms where a mirror refused"
awk -v share="$share" 'BEGIN { exit !(share < 5) }' || fail "seed $seed: the slow mirror had $share % of the requests"
figure "$round events in $seconds s (seed $seed), $requests requests of $(cat "$WORK/fio.runs") verified runs, 0 errors; longest $hang ms at a hang (time-out ${time_out}000), $refused ms at a refusal; the slow one had $share %"
