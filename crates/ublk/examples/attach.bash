# shellcheck shell=bash
# For the scripts that drive examples/ublk_attach.rs in a guest: source tests/lib.sh first, then this.

attach_program=${RESTBLK_PROGRAMS:?not set}/examples/ublk_attach
[ -x "$attach_program" ] || fail "no $attach_program: cargo build --release -p restblk-ublk --example ublk_attach"
modprobe ublk_drv

# attach NAME FILE [OPTIONS…]: starts a process that serves FILE; sets DEV to its device once that is ready.
# The process' words are in $WORK/NAME.log.
attach() {
  local name=$1
  shift
  rm -f "$WORK/$name.log"
  start "$name" "$attach_program" "$@"
  wait_for 90 "a device of $name" ready_or_dead "$name"
  DEV=$(awk '/^ready / { print $2 }' "$WORK/$name.log")
  [ -n "$DEV" ] || fail "$name ended without a device; see $name.log"
}
ready_or_dead() { grep -q '^ready ' "$WORK/$1.log" || not_running "$1"; }

# says NAME REGEX: what it said so far has such a line, or will within 20 s.
says() { wait_for 20 "\`$2\` from $1" grep -Eq -- "$2" "$WORK/$1.log"; }

# tell NAME SIGNAL
tell() { kill "-$2" "$(pid_of "$1")"; }

# ended NAME: waits for its end.
ended() { wait_for 60 "the end of $1" not_running "$1"; }

# written DEV: sectors written since the device was made.
written() { awk '{ print $7 }' "/sys/block/${1#/dev/}/stat"; }
written_more_than() { [ "$(written "$1")" -gt "$2" ]; }

# Whatever happened, no device is left: a mounted one without a server would keep the guest from ending.
finally() {
  local device
  end_all
  for device in /dev/ublkb*; do
    [ ! -b "$device" ] || timeout 60 "$attach_program" --clean "${device#/dev/ublkb}" > /dev/null 2>&1 || true
  done
}
