# shellcheck shell=bash
# What every script under tests/ and bench/ sources: `. "$RESTBLK_ROOT/tests/lib.sh"`. The same on the host and in a guest.
#
# It owns the end of a script: whatever way it ends, what is mounted under $WORK is unmounted, loop devices over files
# in $WORK are detached, and the processes that were started through `start` are ended, by their own process ids. So:
# mount only under $WORK, and start what stays only through `start`.
# Scripts are found by cargo xtask: tests/e2e/native/NAME.sh, tests/e2e/guest/NAME.sh (with `# kernels: 6.12 7.2`),
# tests/show/GROUP/NAME.sh (with `# claim: …`), bench/NAME.sh (with `# bench: …`); `# timeout: SECONDS` for each. The head of
# xtask/src/script.rs says what they are given, that of xtask/src/guest.rs what a guest's may ask for.
# Ends: 0 it holds; 1 by `fail`; 77 by `skip` (it cannot be tried here). Any command that fails ends the script.

set -euo pipefail
: "${RESTBLK:?not set: run this through cargo xtask (test, show, bench or guest)}" "${RESTBLK_ROOT:?not set}" "${WORK:?not set}"
export PATH=$PATH:/usr/sbin:/sbin

# --- saying how it went

say() { printf '[%5d.%d s] %s\n' $(($(elapsed_ms) / 1000)) $(($(elapsed_ms) / 100 % 10)) "$*"; }
# to 7, our standard error, because it may be called where that is thrown away
exec 7>&2
fail() { printf 'FAILED: %s\n' "$*" >&7; exit 1; }
skip() { printf 'skipped: %s\n' "$*"; exit 77; }
# A claim's figure; the last line that it prints.
figure() { printf 'figure: %s\n' "$*"; }
# Milliseconds since the script began.
elapsed_ms() { echo $(($(date +%s%N) / 1000000 - began_ms)); }
began_ms=$(($(date +%s%N) / 1000000))

# need CMD…: ends with a hint unless all are installed.
need() {
  local command missing=()
  for command; do type -P "$command" > /dev/null || missing+=("$command"); done
  [ ${#missing[@]} -eq 0 ] || fail "not installed: ${missing[*]} (cargo xtask setup)"
}
need_root() { [ "$(id -u)" = 0 ] || skip "this needs root"; }
# need_loop: ends as skipped where a FUSE file cannot become a loop device.
need_loop() {
  need_root
  [ -c /dev/fuse ] || skip "this host has no /dev/fuse"
  losetup -f > /dev/null 2>&1 || skip "this host has no free loop device"
}

# share_mounts: as on a host with systemd, what is mounted under $WORK and unmounted again is so in every mount namespace. Where
# mounts are not shared, any other daemon that starts meanwhile keeps a copy, and the device stays in use.
share_mounts() { mount --bind "$WORK" "$WORK" && mount --make-shared "$WORK"; }

# --- checking

# equal WHAT WANTED FOUND
equal() { [ "$2" = "$3" ] || fail "$1: wanted \`$2\`, found \`$3\`"; }
# refuses [-c STATUS] [-m REGEX] COMMAND…: it must fail, with this status, and say something that matches.
refuses() {
  local wanted='' regex='' status=0 said
  while [ $# -gt 0 ]; do
    case $1 in -c) wanted=$2; shift 2 ;; -m) regex=$2; shift 2 ;; *) break ;; esac
  done
  said=$("$@" 2>&1) || status=$?
  [ "$status" != 0 ] || fail "\`$*\` did what it must refuse: $said"
  [ -z "$wanted" ] || [ "$status" = "$wanted" ] || fail "\`$*\`: wanted status $wanted, found $status: $said"
  [ -z "$regex" ] || grep -Eqi -- "$regex" <<< "$said" || fail "\`$*\`: wanted a message like \`$regex\`, found: $said"
}
# wait_for SECONDS WHAT COMMAND…: until the command succeeds.
wait_for() {
  local until=$(($(date +%s) + $1)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    [ "$(date +%s)" -lt "$until" ] || fail "$what did not happen in time"
    sleep 0.05
  done
}
# A hash over the names, kinds, modes and contents of all that is in folder $1.
tree_hash() {
  (cd "$1" && { find . -printf '%y %m %p %l\n' | LC_ALL=C sort; find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum; }) | sha256sum | cut -d' ' -f1
}

# --- processes

declare -A started=() before_daemon=()

# start NAME COMMAND…: in the background, with its output in $WORK/NAME.log and its pid in $WORK/NAME.pid.
start() {
  local name=$1
  shift
  [ -z "${started[$name]:-}" ] || ! is_running "$name" || fail "$name is running already"
  # of its own session, so that what ends this script does not reach it before `end_all`
  setsid "$@" < /dev/null >> "$WORK/$name.log" 2>&1 7>&- &
  started[$name]=$!
  if [ "$name" = daemon ]; then daemon_began=1; elif [ -z "${daemon_began:-}" ]; then before_daemon[$name]=1; fi
  echo $! > "$WORK/$name.pid"
}
pid_of() { echo "${started[$1]:?no such process was started}"; }
is_running() { [ -n "${started[$1]:-}" ] && kill -0 "${started[$1]}" 2>/dev/null && [ "$(ps -o stat= -p "${started[$1]}" | cut -c1)" != Z ]; }
# stop NAME [SECONDS]: TERM, and failure when it is still there after SECONDS (20). Prints nothing.
stop() {
  local pid
  pid=$(pid_of "$1")
  kill -TERM "$pid" 2>/dev/null || true
  wait_for "${2:-20}" "the end of $1" not_running "$1"
  wait "$pid" 2>/dev/null || true
  unset "started[$1]"
  rm -f "$WORK/$1.pid"
}
not_running() { ! is_running "$1"; }
# crash NAME: as by the kernel's out-of-memory killer.
crash() {
  local pid
  pid=$(pid_of "$1")
  kill -KILL "$pid"
  wait "$pid" 2>/dev/null || true
  unset "started[$1]"
}
# url_of NAME: the first URL in the log of a started server, which says where it listens.
url_of() {
  wait_for 20 "an address in $1.log" grep -Eo 'https?://[^ "]+' "$WORK/$1.log"
  grep -Eo 'https?://[^ "]+' "$WORK/$1.log" | head -n1
}
# free_port: a TCP port of the loopback on which nobody listens now.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# --- restblk itself, with a store and a daemon of this script's own

# restblk ARGUMENTS…: the program, talking to the daemon that start_daemon started.
restblk() { RESTBLK_SOCKET=$WORK/run/api.sock "$RESTBLK" "$@"; }
# start_store [OPTIONS…]: the embedded CDMI store over $WORK/store, at STORE_URL; started again, it listens where it did.
start_store() {
  mkdir -p "$WORK/store"
  store_port=${store_port:-$(free_port)}
  # shellcheck disable=SC2034
  STORE_URL=http://127.0.0.1:$store_port
  start store "$RESTBLK" serve "$WORK/store" --listen "127.0.0.1:$store_port" "$@"
  wait_for 20 "the store's answer" started_and_answers store "http://127.0.0.1:$store_port/"
}
# start_daemon [LINES…]: the daemon, with all it keeps and makes under $WORK (devices in $WORK/dev). Its configuration is
# $WORK/restblk.toml: what the script wrote there, or else a default followed by LINES (`control.enabled = false`).
start_daemon() {
  mkdir -p "$WORK/run"
  if ! [ -e "$WORK/restblk.toml" ]; then
    printf '%s\n' "state_dir = \"$WORK/state\"" "run_dir = \"$WORK/run\"" "dev_dir = \"$WORK/dev\"" "$@" > "$WORK/restblk.toml"
  fi
  start daemon "$RESTBLK" daemon --config "$WORK/restblk.toml"
  wait_for 20 "the daemon's answer" started_and_answers daemon http://localhost/v1/host --unix-socket "$WORK/run/api.sock"
}
# started_and_answers NAME URL [OPTIONS of curl…]: any HTTP status will do; fails at once when NAME has ended.
started_and_answers() {
  if ! is_running "$1"; then
    fail "$1 ended at once; see $1.log"
  fi
  curl -s -o /dev/null --max-time 2 "${@:3}" "$2"
}

# --- guests, from a script that runs on the host

# in_guest KERNEL [options of vm/run] -- COMMAND…
in_guest() {
  local kernel=$1
  shift
  "$RESTBLK_ROOT/vm/run-tree" -k "$kernel" "$@"
}

# disk_of SERIAL, in a guest: its disk of that name, `disk0` and on by `-d`, `served0` and on by `-b` (vm/run). There is no udev that knows.
disk_of() {
  local file
  file=$(grep -lx "$1" /sys/block/vd*/serial) || fail "the guest has no disk $1"
  basename "$(dirname "$file")" | sed 's|^|/dev/|'
}

# --- the end

unmount_all() {
  # (all that is bounded here is so that the 20 s suffice that a script has after its time is up)
  # the newest first; a plain unmount, so that what is dirty is written, and a lazy one where that fails or hangs
  local folder
  awk -v work="$WORK/" 'index($5, work) == 1 { print $5 }' /proc/self/mountinfo | tac | while read -r folder; do
    folder=$(printf '%b' "$folder")
    timeout 6 umount "$folder" 2>/dev/null || umount -l "$folder" 2>/dev/null || true
  done
}
detach_loops() {
  local _
  losetup -n -O NAME,BACK-FILE 2>/dev/null | awk -v work="$WORK/" 'index($2, work) == 1 { print $1 }' | while read -r device; do
    # bounded also where its data cannot be written, and so neither detached nor killed
    losetup -d "$device" 2>/dev/null 7>&- &
    for _ in $(seq 40); do kill -0 $! 2>/dev/null || break; sleep 0.1; done
  done
}
# What keeps a loop device while no daemon lives: ended, so that what still waits for a daemon or a store fails.
end_holders() {
  local socket
  find "$WORK" -name holder.sock 2>/dev/null | while read -r socket; do
    python3 -c 'import socket, sys
it = socket.socket(socket.AF_UNIX); it.settimeout(5); it.connect(sys.argv[1]); it.send(b"q"); it.recv(1)' "$socket" 2>/dev/null || true
  done
}
end_all() {
  local name users=() daemon=() stores=()
  for name in "${!started[@]}"; do
    if [ "$name" = daemon ]; then daemon+=("$name"); elif [ -n "${before_daemon[$name]:-}" ]; then stores+=("$name"); else users+=("$name"); fi
  done
  # what uses devices goes before what serves them, for its own end may be a last write; so does the daemon before its stores
  end_these "${users[@]}"
  end_these "${daemon[@]}"
  end_these "${stores[@]}"
}
end_these() {
  local name pid _
  for name; do kill -TERM "${started[$name]}" 2>/dev/null || true; done
  for name; do
    pid=${started[$name]}
    for _ in $(seq 60); do is_running "$name" || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
}
at_end() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP PIPE
  set +e
  cd /
  # a script's own last words come first, while all still stands
  if declare -F finally > /dev/null; then finally; fi
  unmount_all
  detach_loops
  end_all
  end_holders
  unmount_all
  detach_loops
  if mountpoint -q "$WORK"; then umount -l "$WORK"; fi
  exit "$status"
}
trap at_end EXIT
trap 'exit 143' TERM
trap 'exit 130' INT HUP
# whoever read our output is gone: end properly all the same
trap 'exit 141' PIPE
