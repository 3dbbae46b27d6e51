#!/usr/bin/env bash
# claim: cinder-volume is killed at 50 random moments of 20 concurrent creates, snapshots, clones, attaches and deletes: no volume is lost, and what restblk-cinder-agree tells to do clears all that is stuck, until store and database agree
# timeout: 5400
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
kills=${KILLS:-50} workers=${WORKERS:-20} seed=${SEED:-$RANDOM}
RIG_BACKENDS=log
start_openstack
openstack() { in_openstack client openstack "$@"; }
RANDOM=$seed
say "seed $seed"

openstack quota set --volumes 500 --snapshots 500 --gigabytes 5000 admin
openstack volume create --size 1 --image small-raw base > "$WORK/made"
is_there() { [ "$(openstack volume show base -f value -c status)" = available ]; }
wait_for 120 "the first volume" is_there

start load env "${openstack_env[@]}" "$RESTBLK_ROOT/cinder/rig/client.sh" python load.py "$workers" "$seed" "$WORK/stop" "$WORK/ledger.json"
log=$WORK/openstack/log/cinder-volume.log
starts() { grep -c 'Driver initialization completed successfully' "$log" || true; }
sleep 10
begun=$(elapsed_ms)
for kill in $(seq "$kills"); do
  is_running load || fail "the load ended: $(tail -n 5 "$WORK/load.log")"
  in_openstack service end cinder-volume KILL
  was=$(starts)
  in_openstack service volume
  # one in four while it starts; the others when it has work again, for which the scheduler waits until it was heard of
  if [ $((RANDOM % 4)) = 0 ]; then
    sleep $((1 + RANDOM % 8))
  else
    is_started() { [ "$(starts)" -gt "$was" ]; }
    wait_for 120 "the start of cinder-volume" is_started
    sleep $((3 + RANDOM % 15)).$((RANDOM % 10))
  fi
  [ $((kill % 10)) != 0 ] || say "$kill kills"
done
say "$kills kills in $((($(elapsed_ms) - begun) / 1000)) s"
touch "$WORK/stop"
wait_for 300 "the end of the load" not_running load
say "$(tail -n 1 "$WORK/load.log")"
[ -s "$WORK/ledger.json" ] || fail "the load told nothing: $(tail -n 20 "$WORK/load.log")"
in_openstack client python seed.py wait

# --- what goes on by itself ends by itself

states() { openstack volume list --all-projects -f value -c ID -c Status; openstack volume snapshot list --all-projects -f value -c ID -c Status; }
was=
until now=$(states); [ "$now" = "$was" ]; do
  was=$now
  sleep 20
done
say "left: $(awk '{ print $2 }' <<< "$now" | sort | uniq -c | awk '{ printf "%s %s, ", $1, $2 }')"

# --- the documented steps

agree() { in_openstack client restblk-cinder-agree --config-file "$WORK/openstack/conf/cinder/cinder.conf" log; }
stuck=0
for round in 1 2 3 4 5; do
  agree > "$WORK/findings.$round" && break
  [ "$round" != 5 ] || fail "the documented steps do not clear this: $(cat "$WORK/findings.$round")"
  say "round $round: $(grep -c '^    ' "$WORK/findings.$round") findings"
  [ "$round" != 1 ] || stuck=$(grep -c '^    ' "$WORK/findings.$round")
  sed -n 's/^    //p' "$WORK/findings.$round" | sed 's/ && /\n/' > "$WORK/commands"
  # all of one client in one process, which takes the longest to start
  sed -n 's/^openstack //p' "$WORK/commands" | openstack >> "$WORK/remedies" 2>&1 || true
  restart=
  while read -r remedy; do
    case $remedy in
      systemctl*) restart=1 ;;
      *) in_openstack client env "RESTBLK_SOCKET=$WORK/run/api.sock" PATH="$(dirname "$RESTBLK"):$OPENSTACK/venv/bin:$PATH" bash -c "$remedy" >> "$WORK/remedies" 2>&1 < /dev/null || echo "it failed: $remedy" >> "$WORK/remedies" ;;
    esac
  done < <(grep -v '^openstack ' "$WORK/commands" || true)
  if [ -n "$restart" ]; then
    in_openstack service end cinder-volume
    in_openstack service volume
    in_openstack client python seed.py wait
  fi
  sleep 20
done
say "store and database agree after $((round - 1)) rounds of steps; $stuck findings at first"
# An attachment that was cut off before it had a host looks like that of an instance that is being made or shelved. Here are no instances.
cinder() { in_openstack client cinder --os-volume-api-version 3.71 "$@"; }
delete_attachments() { local attachment; for attachment; do cinder attachment-delete "$attachment" > "$WORK/detached"; done; }
attachments() { cinder attachment-list --all-tenants 1 | awk -F' *[|] *' -v status="$1" 'NR > 3 && NF > 2 && $4 ~ status { print $2 }'; }
mapfile -t reserved < <(attachments '^reserved$')
delete_attachments "${reserved[@]}"

# --- nothing is lost

openstack volume list --all-projects -f value -c ID -c Status > "$WORK/volumes"
restblk -q -o json list cinder > "$WORK/pool.json"
mapfile -t there < <(jq -r 'to_entries[] | select(.value.there).key' "$WORK/ledger.json")
for volume in "${there[@]}"; do
  grep -Eq "^$volume (available|in-use)$" "$WORK/volumes" || fail "volume $volume is lost to Cinder: $(grep "$volume" "$WORK/volumes" || true)"
  jq -e --arg volume "cinder/volume-$volume" 'any(.[]; .volume == $volume and .state == "ready")' "$WORK/pool.json" > "$WORK/jq.txt" || fail "volume $volume is lost to the store"
done
raw=$WORK/openstack/tmp/small.raw compared=0
for volume in $(jq -r 'to_entries[] | select(.value.there and .value.of_base).key' "$WORK/ledger.json"); do
  device=$(restblk -o json devices | jq -r --arg volume "cinder/volume-$volume" '.[] | select(.volume == $volume).device')
  ours=
  if [ -z "$device" ]; then
    ours=1
    device=$(restblk -q attach "cinder/volume-$volume" --read-only --transport loop)
  fi
  cmp -n "$(stat -c %s "$raw")" "$raw" "$device" || fail "the bytes of volume $volume are lost"
  [ -z "$ours" ] || restblk -q detach "cinder/volume-$volume"
  compared=$((compared + 1))
done
[ $compared -gt 0 ] || fail "no clone is left whose bytes could be compared"
restblk -q check cinder > "$WORK/check.txt" || fail "restblk check: $(tail -n 20 "$WORK/check.txt")"
say "${#there[@]} volumes that were made and not deleted are there, $compared clones with their bytes; restblk check is content"

# --- and it is seen when it is not so

volume=$(openstack volume create --size 1 lost -f value -c id)
is_lost() { [ "$(openstack volume show "$volume" -f value -c status)" = available ]; }
wait_for 60 "one more volume" is_lost
restblk -q delete "cinder/volume-$volume" --yes
restblk -q create cinder/volume-11111111-2222-3333-4444-555555555555 1G --layout log > "$WORK/made"
! agree > "$WORK/planted" || fail "a volume that was taken away is not missed"
grep -q "volume-$volume is not there" "$WORK/planted" && grep -q 'volume-11111111-.* is not known' "$WORK/planted" || fail "wanted two findings, found: $(cat "$WORK/planted")"
restblk -q delete cinder/volume-11111111-2222-3333-4444-555555555555 --yes

# --- all of it can be deleted

mapfile -t every < <(attachments .)
delete_attachments "${every[@]}"
mapfile -t snapshots < <(openstack volume snapshot list --all-projects -f value -c ID)
[ ${#snapshots[@]} = 0 ] || openstack volume snapshot delete "${snapshots[@]}"
no_snapshots() { [ -z "$(openstack volume snapshot list --all-projects -f value -c ID)" ]; }
wait_for 300 "the end of the snapshots" no_snapshots
mapfile -t volumes < <(openstack volume list --all-projects -f value -c ID)
openstack volume delete "${volumes[@]}"
no_volumes() { [ -z "$(openstack volume list --all-projects -f value -c ID)" ]; }
wait_for 300 "the end of the volumes" no_volumes
is_empty() { [ "$(restblk -o json list cinder | jq length)" = 0 ] && [ "$(restblk -o json trash list cinder | jq length)" = 0 ] && [ "$(restblk -o json devices | jq length)" = 0 ]; }
wait_for 120 "an empty pool" is_empty
figure "$kills kills under $workers workers (seed $seed): $(tail -n 1 "$WORK/load.log" | grep -o 'asked {[^}]*}'); ${#there[@]} volumes all there, $compared compared; $stuck findings cleared by the steps told, ${#reserved[@]} reserved attachments by hand; then deleted, nothing left"
