# shellcheck shell=bash
# Mirrors of one repository for the scripts in tests/show/stores/mirrors-*.sh: servers that share a directory, each behind a proxy that fails on
# command (tests/proxy). Sourced after tests/lib.sh.
#
# Server N is the process mN with its port in port_of[N]; its proxy is the process pN, which does what $WORK/pN.mode says, at proxy_of[N].
# The daemon knows the proxies alone.

proxy=$RESTBLK_PROGRAMS/restblk-fault-proxy
declare -A port_of=() proxy_of=()

# start_server N [FOLDER]: one server of $WORK/store, or another folder; started again it listens where it did.
start_server() {
  mkdir -p "$WORK/${2:-store}"
  port_of[$1]=${port_of[$1]:-$(free_port)}
  start "m$1" "$RESTBLK" serve --shared "$WORK/${2:-store}" --listen "127.0.0.1:${port_of[$1]}"
}
# start_mirror N [MODE]: the server and its proxy.
start_mirror() {
  start_server "$1"
  proxy_of[$1]=$(free_port)
  mode "$1" "${2:-pass}"
  start "p$1" "$proxy" --listen "127.0.0.1:${proxy_of[$1]}" --to "127.0.0.1:${port_of[$1]}" --control "$WORK/p$1.mode"
  wait_for 20 "the answer of mirror $1" curl -s -o "$WORK/answer" --max-time 2 "$(url "$1")"
}
# mode N WORDS…: what the proxy does from now on.
mode() {
  local n=$1
  shift
  echo "$*" > "$WORK/p$n.mode.new"
  mv "$WORK/p$n.mode.new" "$WORK/p$n.mode"
}
url() { echo "http://127.0.0.1:${proxy_of[$1]}/cdmi/2.0.0/"; }
# figure_of N FIELD: what `mirror list` tells of a mirror.
figure_of() { restblk -o json mirror list main | jq -r --arg url "$(url "$1")" ".[] | select(.url == \$url) | $2"; }
# pool_of N… [-- OPTIONS]: pool main over these mirrors.
pool_of() {
  local urls=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do urls+=(--url "$(url "$1")"); shift; done
  [ "${1:-}" != -- ] || shift
  restblk -q pool create main "${urls[@]}" "$@"
}
# start_verifying DEPTH DEVICE: the process fio, which writes and verifies round after round until $WORK/stop is there, and ends badly at the
# first error; $WORK/fio.runs counts its rounds.
start_verifying() {
  cat > "$WORK/fio.sh" << 'END'
run=0
while [ ! -e "$WORK/stop" ]; do
  run=$((run + 1))
  fio --name=v --filename="$1" --aux-path="$WORK" --direct=1 --ioengine=libaio --iodepth="$2" --rw=randwrite --bsrange=4k-64k --size=64M --io_size=64M \
    --verify=crc32c --verify_backlog=256 --verify_fatal=1 --verify_state_save=0 --end_fsync=1 --randseed=$run > "$WORK/fio.txt" 2>&1 || { cat "$WORK/fio.txt"; exit 1; }
  grep -q 'err= 0' "$WORK/fio.txt" || { cat "$WORK/fio.txt"; exit 1; }
  echo $run > "$WORK/fio.runs"
done
END
  start fio bash "$WORK/fio.sh" "$2" "$1"
}
[ -x "$proxy" ] || fail "$proxy is not built"
