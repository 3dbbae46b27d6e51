#!/usr/bin/env bash
# Two hosts (two daemons) on one repository: one holds a volume, the other is told who; a forced takeover fences the first.
# timeout: 120
. "$RESTBLK_ROOT/tests/lib.sh"
need jq
need_loop

start_store
start_daemon "lease_check_s = 1" "[control]" "enabled = false"
restblk pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
restblk create main/a 16M
device=$(restblk attach main/a --transport loop)
mkdir -p "$WORK/b/run"
printf '%s\n' "state_dir = \"$WORK/b/state\"" "run_dir = \"$WORK/b/run\"" "dev_dir = \"$WORK/b/dev\"" "[control]" "enabled = false" > "$WORK/b/restblk.toml"
start other "$RESTBLK" daemon --config "$WORK/b/restblk.toml"
other() { RESTBLK_SOCKET=$WORK/b/run/api.sock "$RESTBLK" "$@"; }
wait_for 20 "the other daemon's answer" other list
other pool create pool-of-b --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
refuses -c 5 -m "another host holds it: $(hostname) .* since 20" other attach pool-of-b/a --transport loop
refuses -c 5 -m 'holds it since' other delete pool-of-b/a
refuses -m "detach it on $(hostname)" other delete pool-of-b/a
refuses -m 'dead for certain' other attach pool-of-b/a --transport loop
refuses -c 5 -m 'holds it since' other extend pool-of-b/a 32M
taken=$(other attach pool-of-b/a --transport loop --force)
wait_for 10 "the fencing of the first host" bash -c "RESTBLK_SOCKET=$WORK/run/api.sock '$RESTBLK' -o json devices | jq -e '.[0].state == \"fenced\"'"
refuses dd if="$device" of=/dev/null bs=4k count=1 iflag=direct
refuses dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct
dd if=/dev/urandom of="$taken" bs=4k count=1 oflag=direct status=none
restblk detach main/a --force
record=$WORK/store/.restblk/attachments/a
cp "$record" "$WORK/left-over"
other detach pool-of-b/a
say "a record that an outage left is cleared by the host that it names, and by no other"
cp "$WORK/left-over" "$record"
refuses -c 5 -m 'holds it' restblk attach main/a --transport loop
refuses -c 5 -m 'holds it' restblk delete main/a
other attach pool-of-b/a --transport loop
refuses -c 4 -m 'attached already' other attach pool-of-b/a --transport loop
other pool create same-again --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
refuses -c 5 -m 'attached to this host as pool-of-b/a at /dev/loop' other attach same-again/a --transport loop
refuses -c 5 -m 'restblk detach pool-of-b/a, then' other delete same-again/a
other detach pool-of-b/a
cp "$WORK/left-over" "$record"
other delete pool-of-b/a
restblk create main/a 16M
equal "holders left" null "$(restblk -o json show main/a | jq .attached_by)"
