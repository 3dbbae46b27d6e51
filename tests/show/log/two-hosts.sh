#!/usr/bin/env bash
# claim: a host that is stopped in the midst of its uploads while another takes its volume over, and goes on then, gets errors and spoils nothing, 200 times
# timeout: 3600
. "$RESTBLK_ROOT/tests/lib.sh"
need jq blkdiscard
need_loop

flushed=$RESTBLK_PROGRAMS/examples/flushed
[ -x "$flushed" ] || fail "$flushed is not built"
rounds=${ROUNDS:-200} seed=${SEED:-$(date +%s)}
RANDOM=$((seed % 32768))

# Two daemons without journals: a flush waits for the store, and what was flushed is there for whoever takes over.
start_store
declare -A device=()
host() { RESTBLK_SOCKET=$WORK/$1/run/api.sock "$RESTBLK" -q "${@:2}"; }
for name in a b; do
  mkdir -p "$WORK/$name/run"
  printf '%s\n' "state_dir = \"$WORK/$name/state\"" "run_dir = \"$WORK/$name/run\"" "dev_dir = \"$WORK/$name/dev\"" "lease_check_s = 1" \
    "[control]" "enabled = false" "[journal]" "size = 0" > "$WORK/$name/restblk.toml"
  start $name "$RESTBLK" daemon --config "$WORK/$name/restblk.toml"
  wait_for 20 "the answer of the daemon $name" host $name list
  host $name pool create main --url "$STORE_URL/cdmi/2.0.0/"
done
host a create main/v 32M --layout log
device[a]=$(host a attach main/v --transport loop)
from=a to=b mine=0
# write HOST: its process writes at random and flushes, and keeps what was flushed in $WORK/HOST.flushed
write() {
  rm -rf "$WORK/$1.flushed" "$WORK/writer-$1.log"
  # nothing of an earlier round is left: what is not flushed yet may be zeros, and must not be another writer's
  blkdiscard "${device[$1]}"
  start "writer-$1" "$flushed" write "${device[$1]}" "$WORK/$1.flushed" "$seed$round" $((16 << 20)) 4
  wait_for 20 "the first flushes of $1 (round $round, seed $seed)" "$flushed" verify "${device[$1]}" "$WORK/$1.flushed"
}
look() { "$flushed" verify "${device[$1]}" "$WORK/$2.flushed" > "$WORK/look.txt" 2>&1 || fail "round $round, seed $seed: $3: $(cat "$WORK/look.txt")"; }
state_of() { host "$1" -o json devices | jq -r '.[0].state'; }
is_fenced() { [ "$(state_of "$1")" = fenced ]; }

round=0
write a
for ((round = 1; round <= rounds; round++)); do
  sleep "0.$(printf '%03d' $((RANDOM % 400)))"
  kill -STOP "$(pid_of $from)"
  device[$to]=$(host $to attach main/v --transport loop --force)
  look $to $from "what $from had flushed is not what $to finds"
  write $to
  sleep "0.$(printf '%03d' $((RANDOM % 200)))"
  kill -CONT "$(pid_of $from)"
  wait_for 60 "the end of the writer on $from (round $round, seed $seed)" not_running "writer-$from"
  grep -q '^flushed: ' "$WORK/writer-$from.log" || fail "round $round, seed $seed: the writer on $from saw no error"
  wait_for 20 "the fencing of $from (round $round, seed $seed)" is_fenced $from
  is_running "writer-$to" || fail "round $round, seed $seed: the writer on $to got an error: $(tail -n 3 "$WORK/writer-$to.log")"
  look $to $to "what $to has flushed is not there"
  mine=$((mine + $(grep -Eo '[0-9]+' "$WORK/look.txt" | head -n1)))
  host $from detach main/v --force
  other=$from from=$to to=$other
  [ $((round % 20)) != 0 ] || say "$round takeovers"
done
stop "writer-$from"
host $from detach main/v
device[$to]=$(host $to attach main/v --transport loop)
look $to $from "what $from had flushed last"
host $to detach main/v
figure "$rounds takeovers from a stopped host in $(($(elapsed_ms) / 1000)) s (seed $seed): each former holder got errors, nothing lost of $mine flushed writes"
