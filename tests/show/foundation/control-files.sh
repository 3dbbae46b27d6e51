#!/usr/bin/env bash
# claim: the 2014 driver's README can be walked through by echo and cat, and every error of docs/control-files.md is given with its errno
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
need mkfs.ext4 python3 jq blockdev
need_loop

# two addresses of one store are two mirrors of the same repository
share_mounts
export TMPDIR=$WORK
mkdir -p "$WORK/store/walk"
store_port=$(free_port) second=$(free_port)
start_store --listen "127.0.0.1:$second"
start_daemon
wait_for 20 "the control files" test -e "$WORK/run/control/create"
url=$STORE_URL/cdmi/2.0.0/walk/

# another host, to hold a volume
mkdir -p "$WORK/b/run"
printf '%s\n' "state_dir = \"$WORK/b/state\"" "run_dir = \"$WORK/b/run\"" "dev_dir = \"$WORK/b/dev\"" "[control]" "enabled = false" > "$WORK/b/restblk.toml"
start other "$RESTBLK" daemon --config "$WORK/b/restblk.toml"
wait_for 20 "the other daemon's answer" started_and_answers other http://localhost/v1/host --unix-socket "$WORK/b/run/api.sock"
RESTBLK_SOCKET=$WORK/b/run/api.sock "$RESTBLK" pool create default --url "$url"

# the walk kills the store and starts it again; its last process is ours to end
cat > "$WORK/serve.sh" << END
setsid "$RESTBLK" serve "$WORK/store" --listen "127.0.0.1:$store_port" --listen "127.0.0.1:$second" < /dev/null >> "$WORK/store.log" 2>&1 7>&- &
echo \$! > "$WORK/store.pid"
for _ in \$(seq 100); do curl -s -o /dev/null --max-time 2 "$STORE_URL" && break; sleep 0.1; done
END
finally() { kill "$(cat "$WORK/store.pid")" 2> /dev/null || true; }
status=0
BY_NAME=$WORK/dev/by-name \
  HOLD="RESTBLK_SOCKET=$WORK/b/run/api.sock $RESTBLK export default/walk2" RELEASE="RESTBLK_SOCKET=$WORK/b/run/api.sock $RESTBLK unexport default/walk2" \
  STORE_DOWN="kill -KILL \$(cat $WORK/store.pid)" STORE_UP="bash $WORK/serve.sh" \
  "$RESTBLK_ROOT/tests/control/walk.sh" "$WORK/run/control" "$url" "${url/$store_port/$second}" 2>&1 | tee "$WORK/walk.txt" || status=$?
[ $status = 0 ] || fail "the walk"

# what the table promises against what was seen: FILE ERRNO
awk -F '|' '/^## Errors/ { on = 1 } /^## What is better/ { on = 0 } on && /^\|/ && $3 ~ /`E/ {
  gsub(/[` ]/, "", $2); gsub(/[` ]/, "", $3); if ($2 != "") file = $2; print file, $3 }' "$RESTBLK_ROOT/docs/control-files.md" | sort -u > "$WORK/promised"
sed -nE "s/^  (E[A-Z]+): echo .* > ([a-z_]+)\$/\2 \1/p" "$WORK/walk.txt" | sort -u > "$WORK/seen"
sed -E 's/^any .*/create EIO\nextend EIO\ndestroy EIO\nattach EIO\ndetach EIO/; s/^urls,volumes,… EACCES/urls EACCES\nvolumes EACCES/' "$WORK/promised" | sort -u > "$WORK/wanted"
[ "$(wc -l < "$WORK/wanted")" -ge 20 ] || fail "the table of errors was not understood: $(cat "$WORK/wanted")"
missing=$(comm -23 "$WORK/wanted" "$WORK/seen")
[ -z "$missing" ] || fail "of the table of errors not seen: $missing"
more=$(comm -13 "$WORK/wanted" "$WORK/seen" | grep -v EACCES || true)
[ -z "$more" ] || fail "seen and not in the table: $more"
figure "$(tail -n 1 "$WORK/walk.txt"), among them all $(wc -l < "$WORK/wanted") pairs of file and errno"
