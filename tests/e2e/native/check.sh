#!/usr/bin/env bash
# What lies on the store of a log volume: looked through beside its user, damaged in the store's own directory, told, repaired.
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/check.sh"
need fio jq nbdcopy python3
need_loop

check_ground
volume=$(basename "$WORK"/store/.restblk/vol/*)
newest_head() { (cd "$WORK/store" && find ".restblk/vol/$volume/head" -type f -size +300c | sort | tail -n1); }

say "what restblk show tells"
restblk -o json show main/a > "$WORK/show.json"
jq -e '.usage | .allocated == 26214400 and .held == 0 and .objects > 0 and (.stored | not) and (.open | not)' "$WORK/show.json" > /dev/null || fail "restblk show: $(jq -c .usage "$WORK/show.json")"
device=$(restblk -q attach main/a --transport loop)
dd if=/dev/urandom of="$device" bs=64k count=16 seek=900 oflag=direct status=none
restblk -o json show main/a | jq -e '.usage.open | .written == 1048576 and .journal_size > 0' > /dev/null || fail "restblk show of an attached one: $(restblk -o json show main/a | jq -c .usage)"
restblk -q snapshot create main/a@then
start writer fio --name=w --filename="$device" --aux-path="$WORK" --direct=1 --ioengine=psync --rw=randwrite --bs=4k --size=24M --time_based --runtime=5 --fsync=16
for round in 1 2 3; do
  restblk -q check main > "$WORK/check.txt" || fail "round $round beside a writer: $(cat "$WORK/check.txt")"
  restblk -q check main/a --deep > "$WORK/check.txt" || fail "a deep one, round $round: $(cat "$WORK/check.txt")"
done
refuses -c 5 -m 'detach' restblk check main/a --repair
wait_for 60 "the end of the writer" not_running writer
curl -s --unix-socket "$WORK/run/api.sock" http://localhost/metrics > "$WORK/metrics.txt"
grep -q '^restblk_log_put_bytes_total{pool="main",volume="a"} [1-9]' "$WORK/metrics.txt" || fail "no metric of what was put"
restblk -q detach main/a
restblk -q snapshot delete main/a@then --yes
check_restore

say "a head that is damaged: told, not attached, repaired"
head=$(newest_head)
check_harm "$head" flipped
refuses -c 10 -m 'head-lost' restblk check main/a
refuses -c 10 restblk attach main/a --transport loop
restblk check main/a --repair --dry-run > "$WORK/dry.txt" 2>&1 && fail "a dry run of a damaged volume ends well"
grep -q 'claim a new epoch' "$WORK/dry.txt" || fail "the dry run does not say what it would do: $(cat "$WORK/dry.txt")"
cmp -s "$WORK/store/$head" "$WORK/store.kept/$head" && fail "the dry run has changed the head"
status=0
restblk -q check main/a --repair > "$WORK/repair.txt" 2>&1 || status=$?
equal "the status of the repair" 14 "$status"
check_same || fail "after the repair the volume is another: $(cat "$WORK/repair.txt")"
restblk -q check main/a --deep > "$WORK/check.txt" || fail "after the repair: $(cat "$WORK/check.txt")"

say "a segment that is gone: what is lost is told, reads fail there and nowhere else"
check_restore
segment=$(cd "$WORK/store" && find ".restblk/vol/$volume/log" -type f -size +100k | sort | tail -n1)
check_harm "$segment" removed
status=0
restblk -o json check main/a > "$WORK/check.json" || status=$?
equal "the status" 10 "$status"
jq -e --arg object "$segment" 'any(.findings[]; .problem == "missing" and .object == $object) and .lost[0].bytes > 0' "$WORK/check.json" > /dev/null || fail "what is told: $(jq -c '[.findings, .lost]' "$WORK/check.json")"
from=$(jq '.lost[0].ranges[0][0]' "$WORK/check.json")
device=$(restblk -q attach main/a --transport loop)
refuses dd if="$device" of=/dev/null bs=4k count=1 skip=$((from / 4096)) iflag=direct
restblk -q detach main/a

say "all maps gone, from the directory of the store"
check_restore
find "$WORK/store/.restblk/vol/$volume/map" -type f -delete
refuses -c 10 restblk check main/a
status=0
restblk -q check main/a --repair --remove-garbage > "$WORK/repair.txt" 2>&1 || status=$?
equal "the status of the repair" 14 "$status"
check_same || fail "after the loss of the maps the volume is another: $(cat "$WORK/repair.txt")"
equal "garbage that is left" 0 "$(restblk -o json check main/a | jq .garbage.objects)"

say "an encrypted one, by its key"
head -c 32 /dev/urandom > "$WORK/key"
restblk -q create main/e 16M --layout log --encrypt --key-file "$WORK/key"
device=$(restblk -q attach main/e --key-file "$WORK/key" --transport loop)
dd if=/dev/urandom of="$device" bs=1M count=8 oflag=direct status=none
restblk -q check main/e --deep > "$WORK/check.txt" || fail "one that is open: $(cat "$WORK/check.txt")"
restblk -q detach main/e
refuses -m 'key' restblk check main/e
restblk -q check main/e --deep --key-file "$WORK/key" > "$WORK/check.txt" || fail "by its key: $(cat "$WORK/check.txt")"
find "$WORK/store/.restblk/vol" -newer "$WORK/key" -path '*/map/*' -type f -delete
status=0
restblk -q check main/e --repair --key-file "$WORK/key" > "$WORK/repair.txt" 2>&1 || status=$?
equal "the status of the repair" 14 "$status"
restblk -q check main/e --deep --key-file "$WORK/key" > "$WORK/check.txt" || fail "after the repair: $(cat "$WORK/check.txt")"
restblk -q delete main/e --yes

say "of direct volumes little can be told, and that is"
restblk -q create main/d 16M
restblk -q check main/d > /dev/null || fail "a check of a direct volume: $(restblk check main/d)"
rm "$WORK/store/d"
refuses -c 10 -m 'missing' restblk check main/d
refuses -c 10 restblk check main
restblk -q delete main/a --yes
