#!/bin/bash
# test: the daemon is killed, and later restarted, under a mounted ext4 with fio verifying; the file system grows in use where it can
# kernels: 6.12
# modules: ext4
# timeout: 400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/e2e/guest/daemon.bash"
need mkfs.ext4 fio jq resize2fs

mkdir -p "$WORK/mnt"
start_host
# requests done so far, reads and writes
done_so_far() { awk '{ print $1 + $5 }' "/sys/block/${NODE#/dev/}/stat"; }
more_than() { [ "$(done_so_far)" -gt "$1" ]; }
in_flight() { read -r reads writes < "/sys/block/${NODE#/dev/}/inflight" && echo $((reads + writes)); }
# kill_in_flight: kills the daemon at a moment when it has requests in hand, which wait in the kernel then. No process is started
# between the look and the kill.
kill_in_flight() {
  local pid reads writes until=$((SECONDS + 60))
  pid=$(pid_of daemon)
  while [ $SECONDS -lt $until ]; do
    read -r reads writes < "/sys/block/${NODE#/dev/}/inflight"
    [ $((reads + writes)) -gt 6 ] || continue
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    unset "started[daemon]"
    waiting=$(in_flight)
    [ "$waiting" = 0 ] || return 0
    # they were done when it died
    daemon_again
    pid=$(pid_of daemon)
  done
  fail "fio had never requests in flight"
}
lives() { is_running fio || fail "fio has ended already: $(tail -n 3 "$WORK/fio.log")"; }

for transport in $TRANSPORTS; do
  say "$transport: fill"
  attach "$transport" a 128M
  mkfs.ext4 -q "$DEVICE"
  mount "$DEVICE" "$WORK/mnt"
  # bursts with pauses, so that it lasts over the deaths; fsync, so that the journal is busy too
  start fio fio --name=v --directory="$WORK/mnt" --aux-path="$WORK" --size="${DEATH_MIB:-16}M" --bsrange=4k-32k --rw=randwrite --direct=1 \
    --ioengine=io_uring --iodepth=16 --thinktime=400ms --thinktime_blocks=16 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --fsync=64 \
    --output-format=json --output="$WORK/fio.json"
  wait_for 60 "fio's writes" more_than 100
  deaths=0 waited=0 waiting=0
  for how in ${ENDS:-kill stop}; do
    lives
    if [ $how = kill ]; then
      kill_in_flight
      deaths=$((deaths + 1))
      say "$transport: killed with $waiting requests in flight"
    else
      stop daemon 60
      say "$transport: stopped"
    fi
    sleep 0.5
    before=$(done_so_far)
    began=$(elapsed_ms)
    daemon_again
    wait_for 60 "I/O after its return" more_than "$before"
    took=$(($(elapsed_ms) - began))
    [ $took -le $waited ] || waited=$took
  done

  say "$transport: extend while fio writes"
  lives
  said=$(restblk extend main/a 192M 2>&1)
  shown=$(blockdev --getsize64 "$NODE")
  case $transport:$(uname -r) in
    ublk:6.12.*)
      grep -q "$NODE keeps its size of 128 MiB: ublk cannot resize it in use on this kernel.*restblk detach main/a, then restblk attach main/a" <<< "$said" ||
        fail "extend does not say that the device has to be attached again: $said"
      restblk show main/a | grep -Eq '^Device size: *128 MiB until' || fail "show does not say it: $(restblk show main/a)"
      equal "the device's size" $((128 << 20)) "$shown"
      grown="extend says that it wants a re-attach"
      ;;
    *)
      equal "the device's size" $((192 << 20)) "$shown"
      resize2fs "$NODE" > "$WORK/resize.log" 2>&1 || fail "resize2fs: $(cat "$WORK/resize.log")"
      [ "$(df -B1 --output=size "$WORK/mnt" | tail -n1)" -gt $((160 << 20)) ] || fail "the file system has not grown"
      grown="ext4 grown in use"
      ;;
  esac

  wait_for 150 "fio's end" not_running fio
  wait "$(pid_of fio)" || fail "fio failed: $(tail -n 3 "$WORK/fio.log")"
  unset "started[fio]"
  read -r total read_back < <(verified "$WORK/fio.json")
  umount "$WORK/mnt"
  fsck ext4
  if [[ $grown = extend* ]]; then
    restblk detach main/a
    DEVICE=$(restblk attach main/a --transport "$transport")
    equal "the size after attaching again" $((192 << 20)) "$(blockdev --getsize64 "$DEVICE")"
    { e2fsck -fp "$DEVICE" && resize2fs "$DEVICE"; } > "$WORK/resize.log" 2>&1 || fail "resize2fs: $(cat "$WORK/resize.log")"
    fsck ext4
  fi
  end_of main/a
  quiet_kernel
  figure "$transport: $deaths kill(s) and a restart under fio on ext4: $total MiB written, $read_back verified, 0 errors, I/O went on within $waited ms of the daemon's start; $grown"
done
