# shellcheck shell=bash
# What the claims crash-daemon and crash-store of each layout have in common: work on two attached volumes, moments at which
# something dies, and looks at what was flushed. Sourced after tests/lib.sh.
#
# - main/raw is written by `flushed` (crates/device/examples/flushed): random blocks, flush, and a journal outside of the volume of
#   what was flushed. The look at it after each death (`look`) is at the object on the store (of the direct layout) and at the device.
# - main/fs has an ext4 with fio on it, which verifies all it wrote, run after run.
# - main/small is attached and detached, main/raw extended, at some of the moments.
# `layout` is direct unless the script sets another one before it sources this, `journal` the lines of its configuration.
# The moments follow from CRASH_SEED, CRASH_ROUNDS of them (`rounds`, or 200); they are drawn before anything dies, and printed.

flushed=$RESTBLK_PROGRAMS/examples/flushed
seed=${CRASH_SEED:-$(date +%s)} rounds=${CRASH_ROUNDS:-${rounds:-200}} layout=${layout:-direct}
mib=32 area=$((16 << 20))
kinds=() delays=() pauses=()
declare -p journal &> /dev/null || journal=()

# Draws the moments: what is under way, after how many ms, and for how long all stays dead.
draw_moments() {
  local round all=(work work work work work work extend extend attach early)
  RANDOM=$((seed % 32768))
  for ((round = 0; round < rounds; round++)); do
    kinds+=("${all[RANDOM % ${#all[@]}]}")
    delays+=($((RANDOM % 1000)))
    pauses+=($((RANDOM % 400)))
  done
  say "seed $seed: $rounds moments, $(printf '%s\n' "${kinds[@]}" | sort | uniq -c | awk '{ printf "%s%d during %s", sep, $1, $2; sep = ", " }'), schedule $(echo "${kinds[@]} ${delays[@]} ${pauses[@]}" | sha256sum | cut -c1-12)"
}
nap() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }

begin_work() {
  [ -x "$flushed" ] || fail "$flushed is not built"
  draw_moments
  share_mounts
  start_store
  start_daemon "[control]" "enabled = false" "${journal[@]}"
  restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
  restblk -q create main/raw ${mib}M --layout $layout
  restblk -q create main/fs 96M --layout $layout
  restblk -q create main/small 4M --layout $layout
  raw=$(restblk -q attach main/raw --transport loop)
  fs=$(restblk -q attach main/fs --transport loop)
  mkfs.ext4 -q -F "$fs"
  mkdir "$WORK/mnt"
  mount "$fs" "$WORK/mnt"
  start writer "$flushed" write "$raw" "$WORK/journal" "$seed" $area 4
  wait_for 20 "the writer's first flushes" "$flushed" verify "$raw" "$WORK/journal"
  dd if="$raw" of="$WORK/early" bs=1M status=none
  cat > "$WORK/fio.sh" << 'END'
run=0
while [ ! -e "$WORK/stop" ]; do
  run=$((run + 1))
  fio --name=f --directory="$WORK/mnt" --aux-path="$WORK" --size=16m --rw=randwrite --bsrange=4k-64k --ioengine=libaio --iodepth=8 --direct=1 \
    --fsync=16 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randseed="$1$run" > "$WORK/fio.txt" 2>&1 || { cat "$WORK/fio.txt"; exit 1; }
  grep -q 'err= 0' "$WORK/fio.txt" || { cat "$WORK/fio.txt"; exit 1; }
  echo "$run" > "$WORK/fio.runs"
done
END
  start fio bash "$WORK/fio.sh" "$seed"
}

# look WHERE: everything that was flushed before now is in WHERE.
look() {
  "$flushed" verify "$1" "$WORK/journal" > "$WORK/look.txt" 2>&1 || fail "round $round, seed $seed, in $1: $(cat "$WORK/look.txt")"
}
# What was flushed is on the store, where that can be seen from outside.
look_at_store() { [ $layout != direct ] || look "$WORK/store/raw"; }
still_at_work() {
  is_running writer || fail "round $round, seed $seed: the writer got an error: $(tail -n 3 "$WORK/writer.log")"
  is_running fio || fail "round $round, seed $seed: fio got an error: $(tail -n 20 "$WORK/fio.log")"
}
is_listed() { restblk -o json devices | jq -e --arg v "main/$1" 'any(.volume == $v)' > "$WORK/jq.txt"; }
is_active() { restblk -o json devices | jq -e --arg v "main/$1" 'any(.volume == $v and .state == "active")' > "$WORK/jq.txt"; }

# under_way: begins what the moment interrupts; `command` is its process, if any.
under_way() {
  command='' interrupted=''
  case ${kinds[round]} in
    work) nap "${delays[round]}" ;;
    # so soon after the last start that the recovery may be under way
    early) nap $((delays[round] / 4)) ;;
    extend)
      interrupted="extend main/raw $((mib + 1))M" ;;
    attach)
      if is_listed small; then interrupted="detach main/small"; else interrupted="attach main/small --transport loop"; fi ;;
  esac
  if [ -n "$interrupted" ]; then
    # shellcheck disable=SC2086 # words of a command
    restblk $interrupted > "$WORK/command.txt" 2>&1 &
    command=$!
    # most are done in less than 100 ms
    nap $((delays[round] / 8))
  fi
}

# A volume's size is one of the two that a broken extend may leave, and its object is not shorter.
check_size() {
  local found object
  found=$(restblk -o json show main/raw | jq .size)
  [ "$found" = $((mib << 20)) ] || [ "$found" = $(((mib + 1) << 20)) ] || fail "round $round, seed $seed: main/raw has $found bytes after an extend from $mib MiB"
  if [ $layout = direct ]; then
    object=$(stat -c %s "$WORK/store/raw")
    [ "$object" -ge "$found" ] || fail "round $round, seed $seed: main/raw has $found bytes, and its object $object"
  fi
  mib=$((found >> 20))
}
# What an interrupted attach or detach left is gone on with, without force.
check_small() {
  if is_listed small; then
    wait_for 30 "the recovery of main/small" is_active small
    restblk detach main/small > "$WORK/command.txt" 2>&1 || fail "round $round, seed $seed: $(cat "$WORK/command.txt")"
  else
    restblk attach main/small --transport loop > "$WORK/command.txt" 2>&1 || fail "round $round, seed $seed: $(cat "$WORK/command.txt")"
  fi
}

# end_work DEATHS: the last looks, and the figure.
end_work() {
  local said
  round=end
  wait_for 30 "the recovery of main/raw" is_active raw
  wait_for 30 "the recovery of main/fs" is_active fs
  still_at_work
  # a look that cannot fail shows nothing: an object from the beginning has lost what was flushed since
  refuses -c 1 -m 'lost: ' "$flushed" verify "$WORK/early" "$WORK/journal"
  stop writer
  look "$raw"
  said=$(cat "$WORK/look.txt")
  touch "$WORK/stop"
  wait_for 120 "the end of fio" not_running fio
  [ -s "$WORK/fio.runs" ] || fail "fio did not finish a run: $(tail -n 20 "$WORK/fio.log")"
  ! grep -q . "$WORK/fio.log" || fail "fio got an error: $(tail -n 20 "$WORK/fio.log")"
  umount "$WORK/mnt"
  e2fsck -fn "$fs" > "$WORK/fsck.log" 2>&1 || fail "ext4 is not clean: $(tail -n 5 "$WORK/fsck.log")"
  if is_listed small; then restblk -q detach main/small; fi
  restblk -q detach main/fs
  restblk -q detach main/raw
  if [ $layout = direct ]; then
    look "$WORK/store/raw"
  else
    look "$(restblk -q attach main/raw --transport loop)"
  fi
  figure "$1 in $(($(elapsed_ms) / 1000)) s (seed $seed); nothing lost of $said; $(cat "$WORK/fio.runs") runs of fio verified, fsck clean"
}

# The daemon dies in every round.
crash_daemon() {
  begin_work
  local early=0
  for ((round = 0; round < rounds; round++)); do
    # the recovery is waited for, but where the next death is to come in it
    if [ "${kinds[round]}" = early ]; then
      early=$((early + 1))
    else
      wait_for 60 "the recovery of main/raw (round $round, seed $seed)" is_active raw
      wait_for 60 "the recovery of main/fs (round $round, seed $seed)" is_active fs
    fi
    under_way
    still_at_work
    crash daemon
    # what was flushed is on the store, while nobody could bring it there
    look_at_store
    [ -z "$command" ] || wait "$command" || true
    nap "${pauses[round]}"
    start_daemon
    case ${kinds[round]} in
      extend) wait_for 60 "the pool" restblk show main/raw; check_size ;;
      attach) wait_for 60 "the pool" restblk show main/raw; check_small ;;
    esac
    if [ "${kinds[round + 1]:-}" != early ]; then look "$raw"; fi
    [ $((round % 20)) != 19 ] || say "$((round + 1)) deaths: $(cat "$WORK/look.txt")"
  done
  end_work "$rounds kills of the daemon ($early in a recovery)"
}
