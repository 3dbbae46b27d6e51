#!/usr/bin/env bash
# claim: a daemon with its default settings and one log volume keeps to 512 MiB of memory under everything at once: random overwrites with garbage collection, sequential writes and reads, snapshots, a cache, a store that is slow, limited and gone
# timeout: 1800
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/mirrors.sh"
need fio jq
need_loop

bound=512 mib=${MEMORY_MIB:-1024} phase_s=${MEMORY_PHASE_S:-40}
start_mirror 1
# journals as by default; a cache there is only where its size is given
start_daemon "[control]" "enabled = false" "[cache]" 'size = "2G"'
pool_of 1
restblk -q create main/a "${mib}M" --layout log
device=$(restblk -q attach main/a --transport loop)
memory() { awk -v field="$1:" '$1 == field { print int($2 / 1024) }' "/proc/$(pid_of daemon)/status"; }
# load NAME OPTIONS…: fio until it is stopped, with what does not pack
load() {
  start "$1" fio --name="$1" --filename="$device" --aux-path="$WORK" --direct=1 --ioengine=libaio --refill_buffers --time_based --runtime=1d --size="${mib}M" \
    --norandommap --random_generator=tausworthe64 "${@:2}"
}

say "full"
fio --name=full --filename="$device" --aux-path="$WORK" --direct=1 --ioengine=libaio --refill_buffers --rw=write --bs=1M --iodepth=8 --end_fsync=1 > "$WORK/full.txt" 2>&1 ||
  fail "fio: $(tail -n 3 "$WORK/full.txt")"
say "full: $(memory VmHWM) MiB"
load over --rw=randwrite --bs=4k --iodepth=32
load look --rw=randread --bs=4k --iodepth=32
load write --rw=write --bs=1M --iodepth=8 --fsync=64
load read --rw=read --bs=1M --iodepth=8
cat > "$WORK/snapshots.sh" << 'DONE'
made=0
while [ ! -e "$WORK/stop" ]; do
  RESTBLK_SOCKET=$WORK/run/api.sock "$RESTBLK" -q snapshot create "main/a@s$made" > "$WORK/snapshot.txt" 2>&1 && echo $((made + 1)) > "$WORK/made"
  [ $made -lt 4 ] || RESTBLK_SOCKET=$WORK/run/api.sock "$RESTBLK" -q snapshot delete "main/a@s$((made - 4))" --yes >> "$WORK/snapshot.txt" 2>&1
  made=$((made + 1))
  sleep 3
done
DONE
start snapshots bash "$WORK/snapshots.sh"
for words in pass "delay 50" "delay 500" "rate 20000000" "rate 2000000" hang pass; do
  # shellcheck disable=SC2086 # the proxy's words
  mode 1 $words
  sleep "$phase_s"
  for load in over look write read snapshots; do is_running $load || fail "$load has ended: $(tail -n 5 "$WORK/$load.log")"; done
  say "$words: $(memory VmRSS) MiB, at most $(memory VmHWM)"
done
touch "$WORK/stop"
wait_for 60 "the end of the snapshots" not_running snapshots
for load in over look write read; do stop $load 60; done
most=$(memory VmHWM)
restblk -q detach main/a
say "detached: $(memory VmRSS) MiB"
[ "$most" -le $bound ] || fail "the daemon had $most MiB of memory; the bound is $bound"
figure "at most $most MiB (bound $bound) with a volume of $mib MiB under four loads, $(cat "$WORK/made") snapshots, a cache, and a store with delays of 50 and 500 ms, limits of 20 and 2 MB/s, and none at all for $phase_s s"
