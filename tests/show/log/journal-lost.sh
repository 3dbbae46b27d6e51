#!/usr/bin/env bash
# claim: when the host's journal is lost with the daemon, a log volume is exactly what it was at an earlier moment of its writes, and with durability remote every flushed write is there
# timeout: 1200
. "$RESTBLK_ROOT/tests/lib.sh"
need jq
need_loop

flushed=$RESTBLK_PROGRAMS/examples/flushed
seed=${LOST_SEED:-$(date +%s)} rounds=${LOST_ROUNDS:-50}
RANDOM=$((seed % 32768))
area=$((16 << 20))
start_store
start_daemon "[control]" "enabled = false" "[journal]" 'size = "64M"'
restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
is_active() { restblk -o json devices | jq -e 'length == 1 and .[0].state == "active"' > "$WORK/jq.txt"; }

behind=0 most=0 writes=0
for ((round = 0; round < rounds; round++)); do
  durability=local
  [ $((round % 2)) = 0 ] || durability=remote
  # a volume of its own, so that what is not written is zeros
  restblk -q create main/v$round 32M --layout log --durability $durability
  device=$(restblk -q attach main/v$round --transport loop)
  start writer "$flushed" write "$device" "$WORK/ledger$round" $((seed + round)) $area 1
  ms=$((500 + RANDOM % 2500))
  sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
  crash daemon
  # the device waits for a daemon, and the writer for the device: it ends when its last request is answered
  kill -KILL "$(pid_of writer)"
  rm "$WORK/state/journal/"*
  start_daemon
  wait_for 60 "the recovery (round $round, seed $seed)" is_active
  wait_for 60 "the writer's end (round $round, seed $seed)" not_running writer
  unset "started[writer]"
  "$flushed" earlier "$device" "$WORK/ledger$round" > "$WORK/look.txt" 2>&1 || fail "round $round, seed $seed, $durability: $(cat "$WORK/look.txt")"
  read -r had all kept < <(sed 's/[^0-9 ]//g' "$WORK/look.txt" | xargs)
  if [ $durability = remote ]; then
    "$flushed" verify "$device" "$WORK/ledger$round" > "$WORK/look.txt" 2>&1 || fail "round $round, seed $seed, remote: $(cat "$WORK/look.txt")"
    [ "$had" -ge "$kept" ] || fail "round $round, seed $seed: $had writes are there, and $kept were flushed"
  elif [ "$had" -lt "$kept" ]; then
    behind=$((behind + 1))
    [ $((kept - had)) -le $most ] || most=$((kept - had))
  fi
  writes=$((writes + all))
  restblk -q detach main/v$round
  restblk -q delete main/v$round --yes
done
# a loss that cannot be seen shows nothing
[ $behind -gt 0 ] || fail "no round lost anything that was in the journal alone: the journal is not what is tried here"
figure "$rounds journals lost (seed $seed) under $writes writes: each volume exactly as at an earlier moment; with remote nothing flushed was missing, with local at most the last $most writes ($behind of $((rounds - rounds / 2)) rounds)"
