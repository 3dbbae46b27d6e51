#!/usr/bin/env bash
# The main job, once, by hand: a store, a daemon, a volume, a device, a file system on it. `--clean` takes it away again.
# Everything lies under $HERE; the installed daemon, if there is one, is not touched.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
: "${RESTBLK:?not set: run this as cargo xtask quickstart}"
HERE=${RESTBLK_QUICKSTART:-/tmp/restblk-quickstart}
export RESTBLK_SOCKET=$HERE/run/api.sock
VOLUME=main/demo MOUNT=$HERE/mnt

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '  # %s\n' "$*"; "$@" 2>&1 | sed 's/^/  /'; }
alive() { [ -s "$HERE/$1.pid" ] && kill -0 "$(cat "$HERE/$1.pid")" 2> /dev/null; }
finish() { # NAME: ends a process of ours by its own id
  alive "$1" || return 0
  kill "$(cat "$HERE/$1.pid")"
  for _ in $(seq 100); do alive "$1" || break; sleep 0.1; done
  rm -f "$HERE/$1.pid"
}
clean() {
  mountpoint -q "$MOUNT" && umount "$MOUNT"
  if alive daemon; then
    "$RESTBLK" detach "$VOLUME" 2> /dev/null || true
    finish daemon
  fi
  finish store
  rm -rf "$HERE"
}

[ "$(id -u)" = 0 ] || { echo "quickstart: devices are made by root: run this as root" >&2; exit 1; }
if [ "${1:-}" = --clean ]; then
  clean
  echo "quickstart: all of it is gone"
  exit 0
fi
[ -d "$HERE" ] && { echo "quickstart: taking away what an earlier run left"; clean; }
trap 'status=$?; [ $status = 0 ] || { echo; echo "quickstart: failed; the logs:"; tail -n 20 "$HERE"/*.log; clean; }' EXIT
mkdir -p "$HERE/store" "$MOUNT"

step "1. The embedded store, over the directory $HERE/store"
"$RESTBLK" serve "$HERE/store" --listen 127.0.0.1:0 > "$HERE/url" 2> "$HERE/store.log" < /dev/null &
echo $! > "$HERE/store.pid"
for _ in $(seq 100); do [ -s "$HERE/url" ] && break; sleep 0.1; done
URL=$(head -n1 "$HERE/url")
echo "  it listens at ${URL:?the store did not start}"

step "2. The daemon"
printf '%s\n' "state_dir = \"$HERE/state\"" "run_dir = \"$HERE/run\"" "dev_dir = \"$HERE/dev\"" "[control]" "enabled = false" > "$HERE/restblk.toml"
setsid "$RESTBLK" daemon --config "$HERE/restblk.toml" > "$HERE/daemon.log" 2>&1 < /dev/null &
echo $! > "$HERE/daemon.pid"
for _ in $(seq 100); do "$RESTBLK" list > /dev/null 2>&1 && break; sleep 0.1; done
run "$RESTBLK" doctor

step "3. A pool (its store is proved first), and a volume in it"
run "$RESTBLK" pool create main --store cdmi --url "$URL"
run "$RESTBLK" create $VOLUME 1G

step "4. Attached as a block device"
run "$RESTBLK" attach $VOLUME
DEVICE=$("$RESTBLK" -o json devices | sed -n 's/.*"device": "\(.*\)".*/\1/p' | head -n1)

step "5. A file system on it, written and read back"
run mkfs.ext4 -q "$DEVICE"
run mount "$DEVICE" "$MOUNT"
head -c 64M /dev/urandom > "$HERE/data"
cp "$HERE/data" "$MOUNT/data"
sync -f "$MOUNT"
umount "$MOUNT"
mount "$DEVICE" "$MOUNT" # nothing of it is in the page cache now
cmp "$HERE/data" "$MOUNT/data"
rm "$HERE/data"
run df -h "$MOUNT"
echo "  64 MiB of random bytes came back equal, through $DEVICE"

step "It works. $MOUNT is a file system on $DEVICE, which is the file $HERE/store/demo"
cat <<T
  Look around:   export RESTBLK_SOCKET=$RESTBLK_SOCKET
                 $RESTBLK devices
                 $RESTBLK extend $VOLUME 2G
                 $RESTBLK --help
  Clean up:      cargo xtask quickstart --clean
T
