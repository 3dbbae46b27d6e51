#!/usr/bin/env bash
# claim: a host (a guest with the daemon, its journal on a disk whose cache is lost) loses its power 20 times: every flushed write is there; on a disk that ignores flushes the same loses some
# timeout: 3600
. "$RESTBLK_ROOT/tests/lib.sh"

flushed=$RESTBLK_PROGRAMS/examples/flushed
area=$((8 << 20))

if [ -n "${RESTBLK_IN_GUEST:-}" ]; then
  # SHARE: a folder of the host's; BEFORE: the ledger of the last boot, if there was one; LEDGER: that of this one
  disk=$(disk_of served0)
  mkdir -p /srv/host
  if [ -z "$BEFORE" ]; then mkfs.ext4 -q -F "$disk"; fi
  mount "$disk" /srv/host
  printf '%s\n' "state_dir = \"/srv/host/state\"" "run_dir = \"$WORK/run\"" "[control]" "enabled = false" "[journal]" 'size = "64M"' > "$WORK/restblk.toml"
  start_daemon
  is_active() { restblk -o json devices | jq -e 'length == 1 and .[0].state == "active"' > "$WORK/jq.txt"; }
  if [ -z "$BEFORE" ]; then
    restblk -q pool create main --url "$STORE/cdmi/2.0.0/"
    restblk -q create main/raw 32M --layout log
    restblk -q attach main/raw --transport ublk --persist
  fi
  wait_for 90 "the volume's device" is_active
  if [ -n "$BEFORE" ] && ! "$flushed" verify /dev/restblk/main/raw "$BEFORE" > "$SHARE/look.txt" 2>&1; then
    echo lost > "$SHARE/state"
    sync
    sleep 600
  fi
  blkdiscard /dev/restblk/main/raw
  start writer "$flushed" write /dev/restblk/main/raw "$LEDGER" "$SEED" $area 2 synced
  wait_for 60 "the writer's first flushes" "$flushed" verify /dev/restblk/main/raw "$LEDGER"
  echo writes > "$SHARE/state"
  sync
  sleep 600
  exit
fi

need nbdkit jq pgrep
seed=${POWER_SEED:-$(date +%s)} rounds=${POWER_ROUNDS:-20}
RANDOM=$((seed % 32768))
start_store
truncate -s 1G "$WORK/disk"
mkdir "$WORK/share"
qemu() { pgrep -P "$(pgrep -P "$(pid_of guest)" -x timeout)" -f qemu-system; }
state() { [ -s "$WORK/share/state" ]; }

# boot CACHE SEED: what the disk does with its cache: `writeback` loses what was not flushed, `unsafe` also what was
boot() {
  rm -f "$WORK/share/state" "$WORK/disk.sock"
  # its cache is a file that nobody finds again
  start disk nbdkit -f -U "$WORK/disk.sock" --filter=cache file "$WORK/disk" cache="$1"
  wait_for 10 "the disk" test -S "$WORK/disk.sock"
  start guest "$RESTBLK_ROOT/vm/run-tree" -k 6.12 -t 900 -M ublk_drv -w "$WORK/share" -b "$WORK/disk.sock" -e SHARE="$WORK/share" -e SEED="$2" \
    -e BEFORE="$before" -e LEDGER="$WORK/share/ledger$2" -e STORE="http://10.0.2.2:$store_port" -- bash "$0"
  wait_for 200 "the guest's word (seed $seed)" said_or_gone
  before=$WORK/share/ledger$2
}
said_or_gone() { state || not_running guest; }
# lose_power: the machine and its disk's cache are gone at once
lose_power() {
  kill -KILL "$(qemu)" "$(pid_of disk)"
  wait_for 60 "the guest's end" not_running guest
  wait "$(pid_of disk)" 2> /dev/null || true
  unset "started[guest]" "started[disk]"
}

before='' writes=0
for ((round = 0; round <= rounds; round++)); do
  boot writeback $((seed + round))
  state || fail "round $round, seed $seed: $(tail -n 30 "$WORK/guest.log")"
  equal "what was flushed (round $round, seed $seed): $(cat "$WORK/share/look.txt" 2> "$WORK/none")" writes "$(cat "$WORK/share/state")"
  [ $round = 0 ] || writes=$((writes + $(cut -d' ' -f1 "$WORK/share/look.txt")))
  [ $((round % 5)) != 0 ] || say "$round losses of power, $writes flushed writes looked at"
  ms=$((500 + RANDOM % 4000))
  sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
  lose_power
done

say "a disk that ignores flushes"
boot unsafe $((seed + round))
[ "$(cat "$WORK/share/state")" = writes ] || fail "the disk is not well before it lies: $(cat "$WORK/share/look.txt")"
sleep 5
lose_power
boot writeback $((seed + round + 1))
# the file system on it, the daemon's records or what was flushed: something of it is gone
told="$(cat "$WORK/share/state" 2> "$WORK/none" || true)"
[ "$told" != writes ] || fail "a disk that ignores flushes lost nothing: what was seen above shows nothing"
if is_running guest; then lose_power; fi
figure "$rounds losses of power (seed $seed), $writes flushed writes all there; a disk that ignores flushes lost some (${told:-the machine did not come back})"
