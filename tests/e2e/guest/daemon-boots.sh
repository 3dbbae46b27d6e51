#!/bin/bash
# test: under systemd and udev: the unit, restarts under a mounted file system, fstab at boot, and a clean reboot that loses nothing
# runs: on the host
# kernels: 6.12
# timeout: 900
. "$RESTBLK_ROOT/tests/lib.sh"

if [ -z "${RESTBLK_IN_GUEST:-}" ]; then
  # the same machine twice: what it wrote to its root is kept
  for boot in 1 2; do
    say "boot $boot"
    in_guest "$KERNEL" -I -S "$WORK/machine" -t 400 -e BOOT=$boot -e TRANSPORTS="${TRANSPORTS:-ublk nbd}" -- bash "$0" || fail "boot $boot ended with $?"
  done
  exit
fi

TRANSPORTS=${TRANSPORTS:-ublk nbd}
need systemctl udevadm mkfs.ext4 jq
restblk() { "$RESTBLK" "$@"; }
is_active() { [ "$(restblk -o json devices | jq -r --arg volume "$1" '.[] | select(.volume == $volume).state')" = active ]; }
main_pid() { systemctl show -P MainPID restblk; }
has_other_pid() { pid=$(main_pid) && [ "$pid" != 0 ] && [ "$pid" != "$1" ]; }
unmounted_cleanly() { ! dmesg | grep -E "EXT4-fs \(($1)\): (recovery|orphan|.*error)"; }
kept_files() { (cd /srv && sha256sum */tree/*); }

if [ "$BOOT" = 2 ]; then
  say "what fstab mounts is there, as it was"
  for transport in $TRANSPORTS; do
    wait_for 60 "the mount of $transport" mountpoint -q "/srv/$transport"
    equal "the source of /srv/$transport" "$(readlink -f "/dev/restblk/main/$transport")" "$(findmnt -n -o SOURCE "/srv/$transport")"
    is_active "main/$transport" || fail "main/$transport is not active"
    unmounted_cleanly "${transport}[a-z0-9]*" || fail "/srv/$transport was not unmounted cleanly"
    equal "the bytes that nobody synced, on $transport" "$(cat /root/raw-sum)" "$(head -c 1M "/dev/restblk/main/raw-$transport" | sha256sum)"
  done
  equal "the files" "$(cat /root/sums)" "$(kept_files)"
  equal "units that failed" "" "$(systemctl list-units --failed --plain --no-legend 'restblk*' 'srv-*.mount' '*.device')"
  began=$(systemctl show -P ActiveEnterTimestampMonotonic restblk)
  for transport in $TRANSPORTS; do
    mounted=$(systemctl show -P ActiveEnterTimestampMonotonic "srv-$transport.mount")
    [ "$mounted" -gt "$began" ] || fail "/srv/$transport was mounted before the daemon was ready"
    figure "$transport: back after a reboot, mounted from fstab $(((mounted - began) / 1000)) ms after the daemon was ready, nothing lost"
  done
  exit
fi

say "install the unit and the rule"
ln -s "$RESTBLK" /usr/bin/restblk
cp "$RESTBLK_ROOT/packaging/systemd/restblk.service" /etc/systemd/system/
cp "$RESTBLK_ROOT/packaging/udev/60-restblk.rules" /etc/udev/rules.d/
# the store would be another machine: it is there before the daemon and after it
cat > /etc/systemd/system/store.service << 'UNIT'
[Unit]
Before=restblk.service
[Service]
ExecStart=/usr/bin/restblk serve /var/lib/store
[Install]
WantedBy=multi-user.target
UNIT
mkdir -p /var/lib/store
systemd-analyze verify --man=no /etc/systemd/system/restblk.service
udevadm verify --resolve-names=late /etc/udev/rules.d/60-restblk.rules > "$WORK/verify.log" 2>&1 || fail "udevadm verify: $(cat "$WORK/verify.log")"
systemctl daemon-reload
udevadm control --reload
systemctl enable -q --now store

say "start: ready when it answers"
systemctl start restblk
restblk pool create main --url http://127.0.0.1:8080/cdmi/2.0.0/
systemctl enable -q restblk

for transport in $TRANSPORTS; do
  restblk create "main/$transport" 64M
  device=$(restblk attach "main/$transport" --transport "$transport" --persist)
  node=$(readlink -f "$device")
  udevadm settle
  udevadm info -q symlink "$node" | grep -qw "restblk/main/$transport" || fail "udev knows no link: $(udevadm info "$node")"
  unit=$(systemd-escape -p --suffix=device "$device")
  wait_for 10 "systemd's unit of $device" systemctl -q is-active "$unit"
  mkfs.ext4 -q "$device"
  mkdir -p "/srv/$transport"
  echo "$device /srv/$transport ext4 $(grep -o '_netdev,nofail[^ ]*' /etc/systemd/system/restblk.service) 0 2" >> /etc/fstab
done
systemctl daemon-reload
for transport in $TRANSPORTS; do systemctl start "srv-$transport.mount"; done

say "a writer, while the daemon is restarted, stopped, and killed"
cat > "$WORK/writer" << 'WRITER'
for n in $(seq 1000); do
  [ -e "$WORK/enough" ] && exit 0
  head -c 20000 /dev/urandom > "$1/f$n" && sync "$1/f$n" && echo "$n" > "$WORK/wrote-${1##*/}" || { echo "file $n failed"; exit 1; }
done
WRITER
for transport in $TRANSPORTS; do start "writer-$transport" env WORK="$WORK" bash "$WORK/writer" "/srv/$transport"; done
wrote() { cat "$WORK/wrote-$1" 2>/dev/null || echo 0; }
wrote_more() { for t in $TRANSPORTS; do [ "$(wrote "$t")" -gt "$((${1:-0} + 2))" ] && is_running "writer-$t" || return 1; done; }
most() { for t in $TRANSPORTS; do wrote "$t"; done | sort -n | tail -n1; }
mounted() { for t in $TRANSPORTS; do mountpoint -q "/srv/$t" || fail "$1: /srv/$t is no longer mounted"; done; }
wait_for 60 "some files" wrote_more

before=$(most) pid=$(main_pid)
systemctl restart restblk
has_other_pid "$pid" || fail "restart left process $pid"
mounted "restart"
wait_for 60 "files after the restart" wrote_more "$before"

systemctl stop restblk
[ "$(systemctl is-active restblk)" = inactive ] || fail "stop: the unit is $(systemctl is-active restblk)"
mounted "stop"
for transport in $TRANSPORTS; do [ -b "/dev/restblk/main/$transport" ] || fail "stop took the device of $transport away"; done
before=$(most)
sleep 1
systemctl start restblk
wait_for 60 "files after stop and start" wrote_more "$before"

before=$(most) pid=$(main_pid)
systemctl kill -s KILL restblk
wait_for 30 "systemd's restart of a killed daemon" has_other_pid "$pid"
mounted "a kill"
wait_for 60 "files after the kill" wrote_more "$before"
touch "$WORK/enough"
for transport in $TRANSPORTS; do
  wait_for 60 "the writer's end" not_running "writer-$transport"
  wait "$(pid_of "writer-$transport")" || fail "the writer saw an error: $(cat "$WORK/writer-$transport.log")"
  unset "started[writer-$transport]"
done

say "leave something for the next boot"
for transport in $TRANSPORTS; do
  mkdir "/srv/$transport/tree"
  cp /usr/lib/systemd/system/s*.service "/srv/$transport/tree"
done
kept_files > /root/sums
head -c 1M /dev/urandom > "$WORK/raw"
sha256sum < "$WORK/raw" > /root/raw-sum
for transport in $TRANSPORTS; do
  restblk create "main/raw-$transport" 16M
  # into the page cache and no further
  dd if="$WORK/raw" of="$(restblk attach "main/raw-$transport" --transport "$transport" --persist)" bs=64k status=none
done
! dmesg | grep -E 'I/O error|EXT4-fs error|WARNING:|BUG:|hung task' || fail "the kernel complained"
