#!/usr/bin/env bash
# Who may use the daemon's socket: root alone; with api.group the members of that group, and nobody else. All else in the
# daemon's folders stays closed to them.
# timeout: 120
. "$RESTBLK_ROOT/tests/lib.sh"
need setpriv jq
need_root
command=$WORK/restblk
cp "$RESTBLK" "$command"
chmod 711 "$WORK"
# as_user GROUP COMMAND…: as nobody, with this one further group
as_user() { setpriv --reuid 65534 --regid 65534 --groups "$1" "${@:2}"; }
as_user 65534 test -x "$command" || skip "other users cannot reach $WORK"
# asks GROUP: the program, as somebody else
asks() { as_user "$1" env RESTBLK_SOCKET="$WORK/run/api.sock" "$command" "${@:2}"; }
mode_of() { stat -c %a "$1"; }
configured() {
  printf '%s\n' "state_dir = \"$WORK/state\"" "run_dir = \"$WORK/run\"" "dev_dir = \"$WORK/dev\"" "[control]" "enabled = false" "[api]" "$@" \
    > "$WORK/restblk.toml"
}

configured
install -d -m 700 "$WORK/run"
start_daemon
equal "run_dir without a group" 700 "$(mode_of "$WORK/run")"
refuses -c 7 -m 'run the command as root, or as a member' asks 1 list
stop daemon

say "with a group (daemon, number 1)"
configured 'group = "daemon"'
start_daemon
equal "the socket" "660 root daemon" "$(stat -c '%a %U %G' "$WORK/run/api.sock")"
equal "run_dir" "711 root root" "$(stat -c '%a %U %G' "$WORK/run")"
asks 1 pool create mem --store memory
asks 1 create mem/a 1M
equal "what a member sees" mem/a "$(asks 1 -o json list | jq -r '.[].volume')"
refuses -c 7 -m 'member of the socket' asks 2 list
refuses as_user 1 ls "$WORK/run"
refuses as_user 1 ls "$WORK/state"
refuses -m 'denied' as_user 1 python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$WORK/run/nbd.sock"
# whatever else lies there belongs to root alone
readable=$(as_user 1 find "$WORK/run"/* "$WORK/state"/* -maxdepth 0 -not -name udev \( -readable -o -writable \) 2> /dev/null || true)
equal "open to members" "" "$(printf '%s\n' "$readable" | grep -v '/api.sock$' || true)"
asks 1 delete mem/a --yes
stop daemon

say "a folder of the socket's own"
configured 'group = "daemon"' "socket = \"$WORK/own/api.sock\""
start daemon "$RESTBLK" daemon --config "$WORK/restblk.toml"
wait_for 20 "the daemon's answer" started_and_answers daemon http://localhost/v1/host --unix-socket "$WORK/own/api.sock"
equal "the socket's folder" 711 "$(mode_of "$WORK/own")"
as_user 1 "$command" --socket "$WORK/own/api.sock" -q list
