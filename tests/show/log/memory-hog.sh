#!/usr/bin/env bash
# claim: on a host of 512 MiB a program that takes more memory than there is, over swap on a disk, does not lock up the daemon that writes a mounted volume: all goes on, and all is verified
# timeout: 3600
#
# The host is a guest, the store another machine. While the hog is at work, every page that is freed by writing it to the volume needs the
# daemon, which needs memory for that itself: what must not become a circle. The daemon has what the packaged unit gives it.
# Swap on the volume itself can be such a circle, and is not for use (docs/semantics.md); HOG_SWAP=volume tries it.
. "$RESTBLK_ROOT/tests/lib.sh"

if [ -n "${RESTBLK_IN_GUEST:-}" ]; then
  # STORE; SWAP: disk or volume; MIB of the hog, ROUNDS of it
  need fio jq mkfs.ext4 e2fsck mkswap python3
  of_daemon() { awk -v field="$1:" '$1 == field { print int($2 / 1024) }' "/proc/$(pid_of daemon)/status"; }
  vmstat() { awk -v field="$1" '$1 == field { print $2 }' /proc/vmstat; }
  unit() { sed -n "s/^$1=//p" "$RESTBLK_ROOT/packaging/systemd/restblk.service"; }
  # what is installed, and what the daemon keeps, is on a disk
  mkdir -p /srv/host /srv/data
  mkfs.ext4 -q -F "$(disk_of disk0)"
  mount "$(disk_of disk0)" /srv/host
  cp "$RESTBLK" /srv/host/restblk
  RESTBLK=/srv/host/restblk
  printf '%s\n' 'state_dir = "/srv/host/state"' "run_dir = \"$WORK/run\"" "[control]" "enabled = false" "[journal]" 'size = "64M"' > "$WORK/restblk.toml"
  echo +memory > /sys/fs/cgroup/cgroup.subtree_control
  mkdir /sys/fs/cgroup/restblk
  unit MemorySwapMax > /sys/fs/cgroup/restblk/memory.swap.max
  unit MemoryMin > /sys/fs/cgroup/restblk/memory.min
  # it inherits them
  echo $$ > /sys/fs/cgroup/restblk/cgroup.procs
  unit OOMScoreAdjust > /proc/$$/oom_score_adj
  start_daemon
  echo $$ > /sys/fs/cgroup/cgroup.procs
  echo 0 > /proc/$$/oom_score_adj
  restblk -q pool create main --url "$STORE/cdmi/2.0.0/"
  restblk -q create "main/$SWAP" 1536M --layout log
  device=$(restblk -q attach "main/$SWAP" --transport ublk)
  node=$(readlink -f "$device")
  mkfs.ext4 -q -F "$device"
  mount "$device" /srv/data
  if [ "$SWAP" = disk ]; then
    swap=$(disk_of disk1)
  else
    swap=/srv/data/swap
    fallocate -l 900M $swap
    chmod 600 $swap
  fi
  mkswap -q "$swap"
  swapon "$swap"
  cat > "$WORK/fio.sh" << 'DONE'
run=0
while [ ! -e "$WORK/stop" ]; do
  run=$((run + 1))
  fio --name=f --directory=/srv/data --aux-path="$WORK" --size=48m --rate=4m --rw=randwrite --bsrange=4k-64k --ioengine=psync --fsync=64 --verify=crc32c \
    --verify_fatal=1 --verify_state_save=0 --randseed=$run > "$WORK/fio.txt" 2>&1 && grep -q 'err= 0' "$WORK/fio.txt" || { cat "$WORK/fio.txt"; exit 1; }
  echo $run > "$WORK/fio.runs"
done
DONE
  start fio bash "$WORK/fio.sh"
  start stall python3 "$RESTBLK_ROOT/tests/memory/stall.py" "${node#/dev/}" "$WORK/stall"
  sleep 2
  start hog python3 "$RESTBLK_ROOT/tests/memory/hog.py" "$MIB" "$ROUNDS"
  while ! not_running hog; do
    sleep 20
    say "$(wc -l < "$WORK/hog.log") rounds, $(cat "$WORK/fio.runs" 2> /dev/null || echo 0) runs of fio, $(($(vmstat pswpout) / 256)) MiB swapped out, the daemon has $(of_daemon VmRSS) MiB, stalls up to $(cat "$WORK/stall" 2> /dev/null || echo 0) ms"
  done
  wait "$(pid_of hog)" || fail "the hog: $(cat "$WORK/hog.log")"
  unset "started[hog]"
  touch "$WORK/stop"
  wait_for 300 "the end of fio" not_running fio
  wait "$(pid_of fio)" || fail "fio: $(cat "$WORK/fio.log")"
  unset "started[fio]"
  stop stall
  equal "rounds of the hog" "$ROUNDS" "$(wc -l < "$WORK/hog.log")"
  [ "$(vmstat pswpout)" -gt $((ROUNDS * MIB * 256 / 4)) ] || fail "only $(vmstat pswpout) pages were swapped out: the memory was not short"
  equal "processes that the kernel ended for want of memory" 0 "$(vmstat oom_kill)"
  is_running daemon || fail "the daemon has ended"
  equal "the daemon's swapped MiB" 0 "$(of_daemon VmSwap)"
  swapoff "$swap"
  umount /srv/data
  e2fsck -fn "$device" > "$WORK/fsck.log" 2>&1 || fail "ext4 is not clean: $(tail -n 5 "$WORK/fsck.log")"
  ! dmesg | grep -E 'I/O error|EXT4-fs error|WARNING:|BUG:|hung task|blocked for more|page allocation failure|Out of memory' || fail "the kernel complained"
  figure "$(awk '{ sum += $2 } END { printf "%d", sum }' "$WORK/hog.log") s, $(($(vmstat pswpout) / 256)) MiB swapped out and $(($(vmstat pswpin) / 256)) in, $(cat "$WORK/fio.runs") runs of fio verified, the longest stall $(cat "$WORK/stall") ms, the daemon at most $(of_daemon VmHWM) MiB"
  restblk -q detach "main/$SWAP"
  exit
fi

need jq
rounds=${HOG_ROUNDS:-3} mib=${HOG_MIB:-512} swap=${HOG_SWAP:-disk}
start_store
in_guest 6.12 -m 512 -d 512M -d 1G -t 3000 -M ublk_drv -e STORE="http://10.0.2.2:$store_port" -e SWAP="$swap" -e MIB="$mib" -e ROUNDS="$rounds" -- \
  bash "$0" > "$WORK/guest.log" 2>&1 || fail "$(grep -a -A 40 FAILED "$WORK/guest.log" || tail -n 60 "$WORK/guest.log")"
grep -a '^\[' "$WORK/guest.log"
told=$(sed -n 's/^figure: //p' "$WORK/guest.log")
[ -n "$told" ] || fail "no figure in $WORK/guest.log"
figure "512 MiB of memory, $rounds rounds of $mib MiB: $told"
