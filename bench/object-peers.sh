#!/usr/bin/env bash
# bench: a log volume, by NBD and by loop, beside ZeroFS and s3backer on one S3 server behind delays of 0, 10 and 30 ms
# tools: zerofs
# timeout: 5400
#
# One S3 server in memory (bench/store) behind the proxy that delays its answers (tests/proxy), and all targets up at once, each in a
# bucket of its own; a job (bench/object_jobs.py) runs on every target in turn before the next one begins, and begins when its target
# leaves the store alone and the disk has what the one before it wrote. For each delay all of it is made anew. Cold is: the target
# started anew, its cache on disk removed, the kernel's caches dropped. restblk has its defaults, a journal of 256 MiB and, as ZeroFS has,
# 4 GB of cache on the same disk.
# Beside them: fio on a file like the journal's, and the bare client of the store.
#
# `cargo xtask bench object-peers -- --seconds 5 --size-mib 1024 --delays 0,10,30 --only zerofs,nbd --jobs write,randwrite`; with `--hold`
# it fails unless all aims are reached (bench/object_report.py), as the claim log/speed does.
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/servers/install.sh"
. "$RESTBLK_ROOT/tests/servers/s3.sh"
. "$RESTBLK_ROOT/bench/zerofs.sh"
. "$RESTBLK_ROOT/bench/s3backer.sh"
need fio python3 curl jq zerofs
need_loop
apt_packages s3backer

seconds=10 size=1024 delays=0,10,30 only=zerofs,nbd,loop,s3backer,raw,bare jobs=write,read,randread,randwrite,commit,flush,flush-remote
hold=()
while [ $# -gt 0 ]; do
  case $1 in
    --hold) hold=(--hold); shift; continue ;;
    --seconds) seconds=$2 ;; --size-mib) size=$2 ;; --delays) delays=$2 ;; --only) only=$2 ;; --jobs) jobs=$2 ;;
    *) fail "there is no option $1" ;;
  esac
  shift 2
done
IFS=, read -ra delays <<< "$delays"
IFS=, read -ra only <<< "$only"
IFS=, read -ra jobs <<< "$jobs"
measured() { [[ " ${only[*]} " == *" $1 "* ]]; }
results=$WORK/results
# the daemon would keep what s3backer unmounts
share_mounts

store_port=$(free_port) proxy_port=$(free_port)
store=http://127.0.0.1:$store_port proxy=http://127.0.0.1:$proxy_port
delay() { if [ "$1" = 0 ]; then echo pass; else echo "delay $1"; fi > "$WORK/mode.new"; mv "$WORK/mode.new" "$WORK/mode"; sleep 0.1; }
delay 0
start store "$RESTBLK_PROGRAMS/restblk-bench-store" --listen "127.0.0.1:$store_port"
start proxy "$RESTBLK_PROGRAMS/restblk-fault-proxy" --listen "127.0.0.1:$proxy_port" --to "127.0.0.1:$store_port" --control "$WORK/mode"
wait_for 20 "the store's answer" started_and_answers proxy "$proxy/any"

# --- restblk, a volume for each of its two ways: one daemon, a pool on a bucket of its own for each

(umask 077; echo SECRET > "$WORK/secret")
restblk_cache=$WORK/restblk-cache
new_restblk() {
  local way
  rm -rf "$WORK/state" "$restblk_cache"
  start_daemon "[control]" "enabled = false" "[cache]" "folder = \"$restblk_cache\"" "size = \"4G\""
  for way in nbd loop; do
    measured $way || continue
    restblk -q pool create $way --store s3 --url "$proxy/$way/pool" --user KEY --password-file "$WORK/secret" --set region=us-east-1 > /dev/null
    restblk -q create $way/volume "${size}M" --layout log > /dev/null
    attach_restblk $way
  done
}
attach_restblk() {
  if [ "$1" = nbd ]; then restblk_nbd=$(restblk -q export nbd/volume | head -n 1); else restblk_loop=$(restblk -q attach loop/volume --transport loop); fi
}
detach_restblk() { if [ "$1" = nbd ]; then restblk -q unexport nbd/volume; else restblk -q detach loop/volume; fi; }
cold_restblk() {
  detach_restblk "$1"
  stop daemon
  rm -rf "$restblk_cache"
  start_daemon
  attach_restblk "$1"
}

# --- what is the same for all

new() {
  case $1 in
    zerofs) new_zerofs "$proxy" "$size" ;;
    s3backer) start_s3backer "$proxy" "$size" ;;
    # as the journal makes it: written whole
    raw) dd if=/dev/zero of="$WORK/raw" bs=1M count=256 conv=fsync status=none ;;
  esac
}
cold() {
  case $1 in
    zerofs) cold_zerofs "$proxy" ;;
    s3backer) cold_s3backer "$proxy" "$size" ;;
    nbd | loop) cold_restblk "$1" ;;
  esac
  # a plain sync waits for every device of the host, and one of somebody else's may wait for its store
  sync -f "$WORK"
  echo 3 > /proc/sys/vm/drop_caches
}
end() {
  case $1 in
    zerofs) stop zerofs 120 ;;
    s3backer) end_s3backer ;;
    nbd | loop) detach_restblk "$1" ;;
  esac
  curl -s -X DELETE "$store/-/$1"
}
# job JOB TARGET DELAY
job() {
  local where kind=device processes='' bucket=(--bucket "$2")
  case $2 in
    zerofs) where=$zerofs_uri kind=nbd processes=zerofs ;;
    s3backer) where=$s3backer_file processes=s3backer ;;
    nbd) where=$restblk_nbd kind=nbd processes=daemon ;;
    loop) where=$restblk_loop processes=daemon ;;
    raw) where=$WORK/raw bucket=() ;;
  esac
  python3 "$RESTBLK_ROOT/bench/object_job.py" --work "$WORK" --results "$results" --store "$store" "${bucket[@]}" --target "$2" --kind $kind --where "$where" \
    --processes "$processes" --job "$1" --delay "$3" --seconds "$seconds" --size-mib "$(if [ "$2" = raw ]; then echo 256; else echo "$size"; fi)"
}
# bare JOB DELAY: segments by the client of the store, as many at once as a volume has on their way
bare() {
  "$RESTBLK_PROGRAMS/examples/segments" - "$1" $((size / 16)) <<< "$(s3_store "$proxy/bare" KEY SECRET '{"region": "us-east-1"}')" |
    jq -c --arg job "$1" --argjson delay "$2" '. + { target: "bare", job: $job, delay: $delay }' | tee -a "$results"
}
# whether a target has a job: fio's file has those that say how fast the disk is; there are two durabilities of restblk alone
has() {
  case $2/$1 in
    raw/randwrite | raw/commit | bare/write | bare/read | nbd/flush-remote | loop/flush-remote) ;;
    raw/* | bare/* | */commit | */flush-remote) return 1 ;;
  esac
}
durability() {
  local way
  for way in nbd loop; do if measured $way; then restblk -q volume durability $way/volume "$1" > /dev/null; fi; done
}

turn=0
for delay in "${delays[@]}"; do
  say "a delay of $delay ms"
  delay 0
  for target in "${only[@]}"; do new "$target"; done
  if measured nbd || measured loop; then new_restblk; fi
  for job in "${jobs[@]}"; do
    # every other job goes through the targets backwards
    turn=$((turn + 1)) order=("${only[@]}")
    if [ $((turn % 2)) = 0 ]; then mapfile -t order < <(printf '%s\n' "${only[@]}" | tac); fi
    if [ "$job" = flush-remote ]; then durability remote; fi
    for target in "${order[@]}"; do
      has "$job" "$target" || continue
      delay 0
      if [[ $job == *read ]]; then cold "$target"; fi
      # what others wrote goes to the disk before and not beside it
      sync -f "$WORK"
      delay "$delay"
      if [ "$target" = bare ]; then bare "$job" "$delay"; else job "$job" "$target" "$delay"; fi
    done
  done
  delay 0
  for target in "${only[@]}"; do end "$target"; done
  if measured nbd || measured loop; then stop daemon; fi
done
python3 "$RESTBLK_ROOT/bench/object_report.py" "$results" --size-mib "$size" --seconds "$seconds" "${hold[@]}"
