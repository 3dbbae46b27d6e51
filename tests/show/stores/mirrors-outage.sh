#!/usr/bin/env bash
# claim: while all three mirrors are gone, I/O waits and goes on, and the log says so once and at intervals; with a limit it fails with EIO, and nothing flushed is lost
# timeout: 500
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/mirrors.sh"
need fio jq
need_loop

flushed=$RESTBLK_PROGRAMS/examples/flushed
[ -x "$flushed" ] || fail "$flushed is not built"
# A little longer than a minute, which is the interval of the log.
gone=${OUTAGE_SECONDS:-65}
for n in 1 2 3; do start_mirror $n; done
start_daemon "[control]" "enabled = false"
all_gone() { for n in 1 2 3; do crash "m$n"; done; }
all_back() { for n in 1 2 3; do start_server "$n"; done; }
said() { grep -c "$1" "$WORK/daemon.log" || true; }

say "waiting"
pool_of 1 2 3
restblk -q create main/a 64M
device=$(restblk -q attach main/a --transport loop)
start_verifying 32 "$device"
sleep 3
all_gone
sleep "$gone"
is_running fio || fail "fio did not wait: $(tail -n 5 "$WORK/fio.log")"
before=$(restblk -o json mirror list main | jq 'map(.requests) | add')
all_back
back=$(elapsed_ms)
more() { [ "$(restblk -o json mirror list main | jq 'map(.requests) | add')" -gt $((before + 100)) ]; }
wait_for 30 "I/O after the outage" more
went_on=$(($(elapsed_ms) - back))
sleep 3
touch "$WORK/stop"
wait_for 200 "the end of fio" not_running fio
[ -s "$WORK/fio.runs" ] || fail "fio did not finish a run: $(tail -n 20 "$WORK/fio.log")"
! grep -q . "$WORK/fio.log" || fail "fio: $(tail -n 20 "$WORK/fio.log")"
equal "times that the log tells of the beginning" 1 "$(($(said 'no mirror works: requests wait') - $(said 'still no mirror works')))"
[ "$gone" -lt 61 ] || equal "times that it tells that it lasts" $((gone / 60)) "$(said 'still no mirror works')"
equal "times that it tells of the end" 1 "$(said 'a mirror works again')"
restblk -q detach main/a
restblk -q delete main/a
restblk -q pool delete main

say "failing after 10 s"
pool_of 1 2 3 -- --on-outage fail-after=10
restblk -q create main/b 32M
device=$(restblk -q attach main/b --transport loop)
start writer "$flushed" write "$device" "$WORK/journal" 7 $((16 << 20)) 4
wait_for 20 "the writer's first flushes" "$flushed" verify "$device" "$WORK/journal"
sleep 2
all_gone
# a write that was under way has 10 s, and what waited behind it in the kernel as much again
begun=$(elapsed_ms)
wait_for 40 "the end of the writer" not_running writer
failed_after=$(($(elapsed_ms) - begun))
[ "$failed_after" -ge 9000 ] && [ "$failed_after" -le 25000 ] || fail "the writer failed after $failed_after ms"
refuses -m 'Input/output error' dd if=/dev/zero of="$device" bs=4k count=1 seek=7000 oflag=direct
refuses -m 'Input/output error' dd if="$device" of="$WORK/read" bs=4k count=1 iflag=direct
refuses -m 'Input/output error' dd if=/dev/zero of="$device" bs=4k count=1 seek=7001 conv=fsync
all_back
wait_for 30 "the mirrors' return" test -n "$(curl -s --retry 20 --retry-connrefused --retry-delay 1 "$(url 1)")"
"$flushed" verify "$WORK/store/b" "$WORK/journal" > "$WORK/look.txt" 2>&1 || fail "on the store: $(cat "$WORK/look.txt")"
reads() { dd if="$device" of="$WORK/read" bs=4k count=1 iflag=direct; }
wait_for 30 "reads after the return" reads
"$flushed" verify "$device" "$WORK/journal" > "$WORK/look.txt" 2>&1 || fail "through the device: $(cat "$WORK/look.txt")"
restblk -q detach main/b
figure "all three gone for $gone s: fio waited, went on $went_on ms after their return and verified; the log told once, $((gone / 60)) times between, and at the end; with fail-after 10 s the writer had EIO after $failed_after ms, and $(cat "$WORK/look.txt")"
