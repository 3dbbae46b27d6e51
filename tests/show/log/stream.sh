#!/usr/bin/env bash
# claim: a volume with 20 snapshots, sent to another pool whole and then change by change, is there byte for byte, through kills of sender, receiver and daemon, and no cut or flipped stream is taken
# timeout: 1800
. "$RESTBLK_ROOT/tests/lib.sh"
need jq nbdcopy nbdsh
# the bindings are for Debian's own Python, and another one may be first in PATH
nbdsh() { PATH=/usr/bin:/bin command nbdsh "$@"; }

count=${SNAPSHOTS:-20} seed=${SEED:-$(date +%s)} size=$((64 << 20))
RANDOM=$((seed % 32768))
start_store
start_daemon "[control]" "enabled = false" "[journal]" 'size = "64M"'
restblk -q pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
mkdir "$WORK/copy"
restblk -q pool create copy --store file --url "file://$WORK/copy/"

# what a snapshot has: byte for byte, by its hash
content() {
  local uri
  uri=$(restblk -q export "$1" | head -n1)
  nbdcopy "$uri" - | sha256sum
  restblk -q unexport "$1"
}

say "$count snapshots of random writes and discards (seed $seed)"
restblk -q create main/a $size --layout log
uri=$(restblk -q export main/a | head -n1)
cat > "$WORK/write.py" << 'END'
# some writes and discards, by nbdsh, as many as are wanted, of the volume `h` and of its model beside
import os, random
chance = random.Random(int(os.environ["ROUND"]))
blocks = h.get_size() // 4096
with open(os.environ["MODEL"], "r+b") as model:
    for _ in range(int(os.environ["WRITES"])):
        first = chance.randrange(blocks)
        count = min(chance.choice([1, 1, 2, 8, 64]), blocks - first)
        if chance.random() < 0.2:
            count = min(count * 8, blocks - first)
            h.trim(count * 4096, first * 4096)
            data = bytes(count * 4096)
        else:
            data = chance.randbytes(count * 4096)
            h.pwrite(data, first * 4096)
        model.seek(first * 4096)
        model.write(data)
END
truncate -s $size "$WORK/model"
declare -a hashes=()
for ((n = 0; n < count; n++)); do
  ROUND=$((seed + n)) MODEL=$WORK/model WRITES=$((n == 0 ? 1200 : 60 + RANDOM % 100)) nbdsh -u "$uri" -c - < "$WORK/write.py"
  restblk -q snapshot create "main/a@s$n"
  hashes[n]=$(sha256sum < "$WORK/model")
done
restblk -q unexport main/a

# slowly: passes what comes on at some MB/s, so that there is something to break
cat > "$WORK/slowly.py" << 'END'
import sys, time
while piece := sys.stdin.buffer.read1(65536):
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    time.sleep(0.012)
END
slowly() { python3 "$WORK/slowly.py"; }
# by a pipe with a name, so that who is at the other end can be killed; bounded, because that one may end before it has opened it
slowly_to_pipe() { timeout 60 bash -c 'exec python3 "$0" > "$1"' "$WORK/slowly.py" "$WORK/pipe"; }
slowly_from_pipe() { timeout 60 bash -c 'exec python3 "$0" < "$1"' "$WORK/slowly.py" "$WORK/pipe"; }
has_ended() { ! restblk export copy/a 2>&1 | grep -q 'is being received'; }
half() { restblk -o json show copy/a 2> /dev/null | jq -e .usage.receiving; }
token() { restblk -o json show copy/a 2> /dev/null | jq -r '.usage.receiving.token // empty'; }
# what `restblk send` is told, of snapshot $1
arguments() {
  local token
  token=$(token)
  [ "$1" = 0 ] || echo "--from s$(($1 - 1))"
  [ -z "$token" ] || echo "--resume-from $token"
}
# send N: slowly, to standard output
send() {
  # shellcheck disable=SC2046
  restblk send "main/a@s$1" $(arguments "$1") 2> "$WORK/send.txt"
}
kills=0 daemons=0 cuts=0 flips=0 resumed=0
declare -a sent=()

# kill_it NAME: unless it has ended by now
kill_it() {
  if is_running "$1"; then kills=$((kills + 1)); fi
  kill -KILL "$(pid_of "$1")" 2> /dev/null || true
  wait "$(pid_of "$1")" 2> /dev/null || true
  unset "started[$1]"
}
# one way to break the way of snapshot $1
break_it() {
  local at pid
  case $((RANDOM % 4)) in
    0) # the receiver is killed
      start receiver bash -c 'exec "$0" --socket "$1" receive copy/a < "$2"' "$RESTBLK" "$WORK/run/api.sock" "$WORK/pipe"
      { send "$1" | slowly_to_pipe; } 2> /dev/null &
      pid=$!
      sleep 0.$((RANDOM % 90 + 10))
      kill_it receiver
      wait "$pid" 2> /dev/null || true
      ;;
    1) # the sender is
      start sender bash -c 'exec "$0" --socket "$1" send "${@:2}" > "$WORK/pipe"' "$RESTBLK" "$WORK/run/api.sock" "main/a@s$1" $(arguments "$1")
      slowly_from_pipe | restblk -q receive copy/a > "$WORK/receive.txt" 2>&1 &
      pid=$!
      sleep 0.$((RANDOM % 90 + 10))
      kill_it sender
      wait "$pid" || true
      ;;
    2) # the daemon is, which both talk to
      { send "$1" | slowly | restblk -q receive copy/a > "$WORK/receive.txt" 2>&1; } &
      pid=$!
      sleep 0.$((RANDOM % 90 + 10))
      crash daemon
      wait "$pid" || true
      daemons=$((daemons + 1))
      start_daemon
      ;;
    3) # what arrives was cut, and then changed
      send "$1" > "$WORK/stream"
      at=$((RANDOM * 32768 % $(stat -c %s "$WORK/stream")))
      head -c $at "$WORK/stream" > "$WORK/cut"
      refuses -m 'cut off|no stream' restblk receive copy/a < "$WORK/cut"
      cuts=$((cuts + 1))
      send "$1" > "$WORK/stream"
      python3 -c 'import random, sys
data = bytearray(open(sys.argv[1], "rb").read())
at = random.Random(int(sys.argv[2])).randrange(len(data) * 8)
data[at // 8] ^= 1 << at % 8
open(sys.argv[1], "wb").write(data)' "$WORK/stream" $RANDOM
      refuses -m 'damaged|no stream|newer restblk' restblk receive copy/a < "$WORK/stream"
      flips=$((flips + 1))
      ;;
  esac
  if half > "$WORK/half.json"; then
    if [ "$(jq .position "$WORK/half.json")" -gt 0 ]; then resumed=$((resumed + 1)); fi
    # what was cut off at the client's end, the daemon notices a little later
    wait_for 30 "the end of the receive" has_ended
    refuses -c 5 -m 'has a part of the snapshot' restblk export copy/a
  fi
}
is_there() { restblk -o json snapshot list copy/a 2> /dev/null | jq -e --arg name "copy/a@s$1" 'any(.[]; .snapshot == $name)' > /dev/null; }

mkfifo "$WORK/pipe"
export WORK
began=$(elapsed_ms)
for ((n = 0; n < count; n++)); do
  for ((breaks = 1 + RANDOM % 3; breaks > 0; breaks--)); do
    is_there $n || break_it $n
  done
  if ! is_there $n; then
    send $n > "$WORK/stream" || fail "snapshot $n, seed $seed: $(cat "$WORK/send.txt")"
    restblk -q receive copy/a < "$WORK/stream" > "$WORK/receive.txt" 2>&1 || fail "snapshot $n, seed $seed: $(cat "$WORK/receive.txt")"
  fi
  if half > /dev/null; then fail "snapshot $n is whole, and said to be a half"; fi
  # whole, as it would be without a break
  from=()
  [ $n = 0 ] || from=(--from "s$((n - 1))")
  sent[n]=$(restblk send "main/a@s$n" "${from[@]}" 2> /dev/null | wc -c)
  equal "the volume after snapshot $n (seed $seed)" "${hashes[n]}" "$(content copy/a)"
done
took=$(($(elapsed_ms) - began))

say "each snapshot of the copy, read back"
for ((n = 0; n < count; n++)); do
  equal "snapshot $n (seed $seed)" "${hashes[n]}" "$(content "copy/a@s$n")"
done
restblk check copy/a --deep > "$WORK/check.txt" 2>&1 || fail "the copy is not well: $(cat "$WORK/check.txt")"
increments=0
for ((n = 1; n < count; n++)); do increments=$((increments + sent[n])); done
breaks=$((kills + daemons + cuts + flips))
[ $breaks -ge $count ] || fail "only $breaks breaks of $count and more"
figure "$count snapshots sent in $((took / 1000)) s (seed $seed), each byte for byte; an incremental stream was $((increments * 1000 / (count - 1) / size / 10)).$((increments * 1000 / (count - 1) / size % 10)) % of the volume; $kills kills of sender or receiver and $daemons of the daemon, $resumed breaks gone on with from their middle; $cuts cut and $flips flipped streams refused"
