#!/usr/bin/env bash
# Two mirrors (two servers over one directory cannot be: so two addresses of one server), one of them dead, one of another
# repository; the last one stays.
# timeout: 120
. "$RESTBLK_ROOT/tests/lib.sh"
need jq

mkdir -p "$WORK/store" "$WORK/foreign"
a=$(free_port) b=$(free_port) c=$(free_port)
start store "$RESTBLK" serve "$WORK/store" --listen "127.0.0.1:$a" --listen "127.0.0.1:$b"
start foreign "$RESTBLK" serve "$WORK/foreign" --listen "127.0.0.1:$c"
wait_for 20 "the stores" curl -s "http://127.0.0.1:$b/" "http://127.0.0.1:$c/"
start_daemon "[control]" "enabled = false"
url() { echo "http://127.0.0.1:$1/cdmi/2.0.0/"; }
restblk pool create main --store cdmi --url "$(url "$a")"
restblk mirror add main "$(url "$b")"
refuses -c 4 -m 'has it already' restblk mirror add main "$(url "$b")"
refuses -m 'no repository' restblk mirror add main "$(url "$c")"
restblk pool create other --store cdmi --url "$(url "$c")"
refuses -c 6 -m 'shows the repository' restblk mirror add main "$(url "$c")"
equal "mirrors" 2 "$(restblk -o json pool show main | jq '.mirrors | length')"
restblk mirror remove main "$(url "$a")"
refuses -c 5 -m 'last one' restblk mirror remove main "$(url "$b")"
restblk create main/v 1M
stop daemon
start_daemon
wait_for 10 "the pool after a restart" restblk show main/v
equal "mirrors after a restart" "$(url "$b")" "$(restblk -o json pool show main | jq -r '.spec.urls[]')"
