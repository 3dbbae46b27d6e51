#!/usr/bin/env bash
# claim: ext4 and xfs on a log volume, all they wrote logged by dm-log-writes: every moment at which they had something flushed is a file system that mounts and is clean, and kills of the daemon leave exactly such a moment
# timeout: 3600
#
# Three things are shown, with the same two file systems and the same work on them (files replaced and fsynced one by one, fio with fsync, trees that come and go):
#
# 1. Above restblk: in a guest, dm-log-writes lies between the file system and the volume's ublk device, and the daemon is killed
#    meanwhile. Afterwards another host finds on the volume what the log has from its first entry to its last, byte for byte: nothing
#    that the file system sent was lost, changed or put in another order where that shows, by the transport, the daemon or its recoveries.
# 2. At each flush: the log is replayed onto a second log volume. After every entry that was durable when it was answered (a flush, a
#    FUA) the volume gets a snapshot and that a clone, which is mounted (the file system recovers from it as from a loss of power),
#    has every file that was fsynced up to then, and is clean for fsck. So a snapshot at any flush is a sound file system.
# 3. Below the file system: the log is replayed onto a third one, and the daemon is killed at random moments of it. In half of them its
#    journal is lost as well, and flushes wait for the store (`durability remote`). What comes back must be the log's first N
#    entries, byte for byte, for an N that is at least the last answered flush (the last answered write, where the journal is kept) and at
#    most what was sent; and it must mount and be clean. That is what restblk promises of a crash, asked with the writes of real file systems.
. "$RESTBLK_ROOT/tests/lib.sh"

mib=320 kinds=(ext4 xfs)
# a small journal, so that the log is not full of its zeros; xfs takes none below 64 MiB
make_fs() { case $1 in ext4) mkfs.ext4 -q -F -J size=8 "$2" ;; xfs) mkfs.xfs -q -f "$2" ;; esac; }

if [ -n "${RESTBLK_IN_GUEST:-}" ]; then
  # STORE, SEED, FILES: how many are fsynced one by one; KILLS: of the daemon, for each file system
  . "$RESTBLK_ROOT/tests/e2e/guest/daemon.bash"
  RANDOM=$((SEED % 32768))
  mark() { dmsetup message tap 0 mark "$*"; }
  printf '%s\n' "state_dir = \"$WORK/state\"" "run_dir = \"$WORK/run\"" "[control]" "enabled = false" "[journal]" 'size = "64M"' > "$WORK/restblk.toml"
  start_daemon
  restblk -q pool create main --url "$STORE/cdmi/2.0.0/"
  mkdir "$WORK/mnt"
  cat > "$WORK/replace.sh" << 'DONE'
# each file is written beside its place, fsynced, put there, and its folder fsynced; then the log has a mark
for ((n = 1; n <= FILES; n++)); do
  seq "$n" $((n * 97)) > "$WORK/mnt/kept/new"
  sync "$WORK/mnt/kept/new"
  mv "$WORK/mnt/kept/new" "$WORK/mnt/kept/$n"
  sync "$WORK/mnt/kept"
  dmsetup message tap 0 mark "kept-$n"
  echo "$n" > "$WORK/put"
done
DONE
  cat > "$WORK/trees.sh" << 'DONE'
for run in 1 2 3 4 5; do
  mkdir "$WORK/mnt/$run"
  tar -C "$RESTBLK_ROOT" -cf - docs | tar -C "$WORK/mnt/$run" -xf -
  sync -f "$WORK/mnt"
  rm -rf "$WORK/mnt/$((run - 1))"
done
DONE
  for number in 0 1; do
    kind=${kinds[number]}
    say "$kind"
    restblk -q create "main/$kind" ${mib}M --layout log
    DEVICE=$(restblk -q attach "main/$kind" --transport ublk)
    NODE=$(readlink -f "$DEVICE")
    dmsetup create tap --table "0 $(blockdev --getsz "$NODE") log-writes $NODE $(disk_of served$number)"
    make_fs "$kind" /dev/mapper/tap
    mount /dev/mapper/tap "$WORK/mnt"
    mkdir "$WORK/mnt/kept"
    sync -f "$WORK/mnt"
    mark made
    rm -f "$WORK/put"
    FILES=$FILES start replace bash -eu "$WORK/replace.sh"
    start trees bash -eu "$WORK/trees.sh"
    start fio fio --name=f --directory="$WORK/mnt" --aux-path="$WORK" --size=4m --io_size=2m --rw=randwrite --bsrange=4k-16k --fsync=8 --randseed="$SEED"
    for ((kill = 1; kill <= KILLS; kill++)); do
      put() { [ "$(cat "$WORK/put" 2> "$WORK/none")" -ge $((FILES * kill / (KILLS + 1))) ] || not_running replace; }
      wait_for 300 "files on $kind" put
      sleep 0.$((RANDOM % 10))
      crash daemon
      daemon_again
    done
    for work in replace trees fio; do
      wait_for 300 "the end of $work on $kind" not_running $work
      wait "$(pid_of $work)" || fail "$work on $kind: $(cat "$WORK/$work.log")"
      unset "started[$work]"
    done
    umount "$WORK/mnt"
    dmsetup remove tap
    restblk -q detach "main/$kind"
  done
  quiet_kernel
  exit
fi

need nbdkit jq python3 mkfs.ext4 e2fsck mkfs.xfs xfs_repair
need_loop
seed=${LOG_WRITES_SEED:-$(date +%s)} files=${LOG_WRITES_FILES:-24} kills=${LOG_WRITES_KILLS:-30}
RANDOM=$((seed % 32768))
for kind in "${kinds[@]}"; do grep -qw "$kind" /proc/filesystems || modprobe "$kind" 2> /dev/null || skip "this host's kernel has no $kind"; done
replay() { python3 "$RESTBLK_ROOT/tests/log-writes/replay.py" "$@"; }
mkdir "$WORK/mnt"
share_mounts
start_store

say "what file systems write, in a guest whose daemon is killed (seed $seed)"
disks=()
for kind in "${kinds[@]}"; do
  truncate -s 2G "$WORK/$kind.log-writes"
  start "disk-$kind" nbdkit -f -U "$WORK/$kind.sock" file "$WORK/$kind.log-writes"
  wait_for 10 "the disk for the log" test -S "$WORK/$kind.sock"
  disks+=(-b "$WORK/$kind.sock")
done
in_guest 6.12 -t 1500 -M "ublk_drv dm-log-writes ext4 xfs" "${disks[@]}" -e STORE="http://10.0.2.2:$store_port" -e SEED="$seed" -e FILES="$files" -e KILLS=3 -- \
  bash "$0" > "$WORK/guest.log" 2>&1 || fail "the guest (seed $seed): $(grep -a -A 20 FAILED "$WORK/guest.log" || tail -n 40 "$WORK/guest.log")"

for ((n = 1; n <= files; n++)); do seq $n $((n * 97)) | sha256sum | sed "s/-/$n/"; done > "$WORK/sums"
start_daemon "[control]" "enabled = false" "[journal]" 'size = "64M"'
restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
is_active() { restblk -o json devices | jq -e 'length == 1 and .[0].state == "active"' > "$WORK/jq.txt"; }

# sound KIND VOLUME KEPT WHEN: a clone of what the volume is now mounts, has the first KEPT files, and is clean.
sound() {
  local device
  restblk -q snapshot create "$2@now" > "$WORK/said"
  restblk -q clone "$2@now" main/clone > "$WORK/said"
  device=$(restblk -q attach main/clone --transport loop)
  mount -t "$1" "$device" "$WORK/mnt" || fail "$1 does not mount $4 (seed $seed)"
  if [ "$3" -gt 0 ]; then
    (cd "$WORK/mnt/kept" && head -n "$3" "$WORK/sums" | sha256sum -c --quiet) > "$WORK/sums.log" 2>&1 || fail "$1 has lost fsynced files $4 (seed $seed): $(tail -n 5 "$WORK/sums.log")"
  fi
  umount "$WORK/mnt"
  case $1 in ext4) e2fsck -fn "$device" ;; xfs) xfs_repair -n "$device" ;; esac > "$WORK/fsck.log" 2>&1 || fail "$1 is not clean $4 (seed $seed): $(tail -n 5 "$WORK/fsck.log")"
  restblk -q detach main/clone
  restblk -q delete main/clone --yes
  restblk -q snapshot delete "$2@now" --yes
}
# found LOG DEVICE FROM TO: how many of the log's entries the device has; fails where it is anything else.
found() { replay found "$@" 2> "$WORK/found.log" || fail "seed $seed, round ${round:-}: $(cat "$WORK/found.log")"; }
# empty VOLUME: a new one, attached; DEVICE is its device
empty() { restblk -q create "$1" ${mib}M --layout log > "$WORK/said"; device=$(restblk -q attach "$1" --transport loop); }

declare -A flushes=()
killed=0 behind=0
for kind in "${kinds[@]}"; do
  log=$WORK/$kind.log-writes
  replay points "$log" > "$WORK/points"
  total=$(awk 'END { print $1 }' "$WORK/points")
  say "$kind: $total entries; what the guest left"
  device=$(restblk -q attach "main/$kind" --transport loop)
  equal "entries on the guest's volume" "$total" "$(found "$log" "$device" "$total" "$total")"
  restblk -q detach "main/$kind"

  say "$kind: every flush"
  empty "main/flushes"
  at=0 kept=0 made='' flushes[$kind]=0
  while read -r point what text; do
    case $text in made) made=$point ;; kept-*) kept=${text#kept-} ;; esac
    [ $what = flush ] || continue
    replay apply "$log" "$device" $at "$point" "$WORK/done"
    at=$point
    [ -n "$made" ] || continue
    sound "$kind" main/flushes "$kept" "at the flush after $point of $total entries"
    flushes[$kind]=$((flushes[$kind] + 1))
    [ $((flushes[$kind] % 100)) != 0 ] || say "${flushes[$kind]} flushes"
  done < "$WORK/points"
  [ "$kept" = "$files" ] || fail "the log of $kind tells of $kept files, and $files were written"
  restblk -q detach main/flushes
  restblk -q delete main/flushes --yes

  say "$kind: kills of the daemon"
  empty "main/killed"
  synced=$(awk '$3 == "made" { print $1 }' "$WORK/points")
  replay apply "$log" "$device" 0 "$synced" "$WORK/done"
  for ((round = 1; round <= kills; round++)); do
    # where the journal is lost, it is after flushes that waited for the store
    lost=$((round % 2))
    restblk -q volume durability main/killed "$([ $lost = 1 ] && echo remote || echo local)" > "$WORK/said"
    # what is left, divided by the rounds that are left; the replay goes on for some entries more
    at=$((synced + RANDOM % ((total - synced) / (kills - round + 1) * 3 / 2 + 1)))
    [ $at -lt $total ] || break
    start replayer python3 "$RESTBLK_ROOT/tests/log-writes/replay.py" apply "$log" "$device" "$synced" "$total" "$WORK/done" $at $((RANDOM % 4)) "$(pid_of daemon)"
    wait_for 60 "the kill after entry $at (round $round, seed $seed)" not_running daemon
    kill -KILL "$(pid_of replayer)" 2> /dev/null || true
    wait "$(pid_of daemon)" 2> /dev/null || true
    unset "started[daemon]"
    [ $lost = 0 ] || rm "$WORK/state/journal/"*
    start_daemon
    wait_for 60 "the recovery (round $round, seed $seed)" is_active
    # its last request is answered
    wait "$(pid_of replayer)" 2> /dev/null || true
    unset "started[replayer]"
    read -r sent flushed < <(od -An -td8 -w16 "$WORK/done")
    least=$sent
    [ $lost = 0 ] || least=$flushed
    has=$(found "$log" "$device" "$least" $((sent < total ? sent + 1 : total)))
    [ "$has" -ge "$sent" ] || behind=$((behind + 1))
    kept=$(awk -v has="$flushed" '$1 <= has && sub("kept-", "", $3) { kept = $3 } END { print kept + 0 }' "$WORK/points")
    sound "$kind" main/killed "$kept" "after a kill at $has of $total entries"
    # It goes on from there: were something done again that is followed by what the device has already, it would be no moment of the log.
    killed=$((killed + 1)) synced=$has
  done
  replay apply "$log" "$device" "$synced" "$total" "$WORK/done"
  equal "entries in the end" "$total" "$(found "$log" "$device" "$total" "$total")"
  # a look that cannot fail shows nothing
  refuses -c 1 -m 'blocks differ' replay found "$log" "$device" $((total / 2)) $((total / 2 + 8))
  restblk -q detach main/killed
  restblk -q delete main/killed --yes
done
# the journal that was lost must have had something
[ $behind -gt 0 ] || fail "no lost journal had a write that was not on the store: nothing was lost with it"
figure "$(for kind in "${kinds[@]}"; do printf '%s: %d flushes, ' "$kind" "${flushes[$kind]}"; done)each mounted with every fsynced file and clean; both volumes as logged after 3 kills in the guest; $killed kills in the replay (seed $seed), half with the journal lost: each the log's first N entries byte for byte, no flush missing, in $behind of them unflushed writes gone"
