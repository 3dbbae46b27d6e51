#!/usr/bin/env bash
# Two servers over one directory as mirrors of a pool: weights, draining, one of another repository; the last one stays.
# timeout: 120
. "$RESTBLK_ROOT/tests/lib.sh"
need jq

mkdir -p "$WORK/store" "$WORK/foreign"
a=$(free_port) b=$(free_port) c=$(free_port)
start store "$RESTBLK" serve --shared "$WORK/store" --listen "127.0.0.1:$a"
start twin "$RESTBLK" serve --shared "$WORK/store" --listen "127.0.0.1:$b"
start foreign "$RESTBLK" serve "$WORK/foreign" --listen "127.0.0.1:$c"
for port in $a $b $c; do wait_for 20 "the store at $port" curl -s "http://127.0.0.1:$port/"; done
start_daemon "[control]" "enabled = false"
url() { echo "http://127.0.0.1:$1/cdmi/2.0.0/"; }
restblk pool create main --store cdmi --url "$(url "$a")"
restblk mirror add main "$(url "$b")"
refuses -c 4 -m 'has it already' restblk mirror add main "$(url "$b")"
refuses -m 'no repository' restblk mirror add main "$(url "$c")"
restblk pool create other --store cdmi --url "$(url "$c")"
refuses -c 6 -m 'shows the repository' restblk mirror add main "$(url "$c")"
equal "mirrors" 2 "$(restblk -o json pool show main | jq '.mirrors | length')"
of() { restblk -o json mirror list main | jq -r --arg url "$(url "$1")" ".[] | select(.url == \$url) | $2"; }
restblk mirror set main "$(url "$b")" --weight 3 --priority 1
equal "weight and priority" "3 1" "$(of "$b" '"\(.weight) \(.priority)"')"
restblk mirror drain main "$(url "$b")"
equal "a drained mirror" draining "$(of "$b" .state)"
refuses -c 5 -m 'last one' restblk mirror drain main "$(url "$a")"
restblk mirror resume main "$(url "$b")"
equal "a resumed mirror" up "$(of "$b" .state)"
refuses -c 3 -m 'has none of that URL' restblk mirror drain main "$(url "$c")"
restblk mirror remove main "$(url "$a")"
refuses -c 5 -m 'last one' restblk mirror remove main "$(url "$b")"
restblk create main/v 1M
stop daemon
start_daemon
wait_for 10 "the pool after a restart" restblk show main/v
equal "mirrors after a restart" "$(url "$b") 3 1" "$(restblk -o json pool show main | jq -r '.spec.urls[] | "\(.url) \(.weight) \(.priority)"')"
curl -s --unix-socket "$WORK/run/api.sock" http://localhost/metrics > "$WORK/metrics.txt"
grep -q '^restblk_mirror_state{.*state="up"} 1$' "$WORK/metrics.txt" || fail "no metric tells that the mirror is up"
