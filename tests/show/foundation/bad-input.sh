#!/usr/bin/env bash
# claim: bad input and broken stores get a clear error with the documented exit code within 20 s, and leave nothing half-made
# timeout: 600
. "$RESTBLK_ROOT/tests/lib.sh"
need mkfs.ext4 openssl jq curl blkdiscard
need_loop

checks=0 slowest=0
declare -A pending=()
# one STATUS REGEX NUMBER ARGUMENTS of restblk…: refused so, in words and as JSON with a message; and within 20 s.
one() {
  local status=$1 regex=$2 out=$WORK/given.$3 from took found=0
  shift 3
  from=$(elapsed_ms)
  # side by side where a store is waited for; but not where the first one holds the place of the second
  [ "${forms:-}" = json ] || refuses -c "$status" -m "$regex" restblk "$@" &
  [ "${forms:-}" = both ] || wait $!
  restblk -o json "$@" > "$out" 2> "$out.err" || found=$?
  wait $!
  took=$(($(elapsed_ms) - from))
  [ "$took" -lt 20000 ] || fail "\`restblk $*\` took $took ms to fail"
  equal "the status of \`restblk -o json $*\`" "$status" "$found"
  tail -n 1 "$out.err" | jq -e '.message | length > 0' > "$out.jq" || fail "no message in JSON: $(cat "$out.err")"
  equal "standard output of a failure" "" "$(cat "$out")"
  echo "$took" > "$out.took"
  say "$status after $took ms: restblk ${*:1:9} — $(tail -n 1 "$out.err" | jq -r .message)"
}
# soon: as `gives`, beside others; `settle` waits for all of them.
soon() {
  checks=$((checks + 1))
  one "$1" "$2" $checks "${@:3}" &
  pending[$checks]=$!
}
settle() {
  local number bad=0 took
  for number in "${!pending[@]}"; do wait "${pending[$number]}" || bad=1; done
  [ $bad = 0 ] || fail "the above"
  for number in "${!pending[@]}"; do
    took=$(cat "$WORK/given.$number.took")
    [ "$took" -le "$slowest" ] || slowest=$took
  done
  pending=()
}
gives() { soon "$@"; settle; }

# what is on the store, and what the daemon lists: neither may change
state() { (cd "$WORK/store" && find . -type d -printf '%p\n' -o -printf '%p %s\n' | LC_ALL=C sort); restblk -o json list main | jq -c 'map([.volume, .size, .state, .attached_by])'; }
note() { before=$(state); }
unchanged() { equal "$1" "$before" "$(state)"; }
pools() { restblk -o json pool list | jq length; }

say "names and sizes"
start_store
start_daemon "[control]" "enabled = false"
url=$STORE_URL/cdmi/2.0.0/
restblk pool create main --url "$url"
restblk create main/a 64M
restblk attach main/a --transport loop > "$WORK/device"
restblk detach main/a
note
gives 3 nowhere create nowhere/a 64M
gives 3 nowhere list nowhere
gives 3 b show main/b
gives 3 b attach main/b
gives 3 b delete --yes main/b
gives 3 b extend main/b 64M
gives 3 'main/a' detach main/a
gives 4 'main/a' create main/a 64M
gives 4 'main/a' create main/a 32M
gives 4 main pool create main --url "$url"
gives 6 size create main/b 0
gives 6 'without a unit' create main/b 1000
gives 6 'multiple' create main/b 1000B
gives 6 '' create main/b 16E
gives 6 '' create main/b -- -1
gives 6 '' create main/b/c 64M
gives 6 '' create main/../b 64M
gives 6 '' create main/.b 64M
gives 6 '' create 'main/b c' 64M
gives 6 'shrink' extend main/a 32M
gives 6 '' extend main/a 64M
gives 6 '' extend main/a 16E
gives 6 'http' pool create other --url ftp://127.0.0.1/
gives 6 'no transport' attach main/a --transport nothing
unchanged "the pool after bad names and sizes"
equal "pools" 1 "$(pools)"

# A store that is gone refuses connections; one that hangs says nothing at all.
forms=both
for way in gone silent; do
  say "a server that is $way"
  # nothing is kept of earlier connections, nor of how the mirror did
  stop daemon; start_daemon
  wait_for 20 "the pool" restblk show main/a
  if [ $way = gone ]; then crash store; else kill -STOP "$(pid_of store)"; fi
  soon 8 '' create main/b 64M
  forms=json soon 8 '' attach main/a --transport loop
  soon 8 '' extend main/a 128M
  soon 8 '' delete --yes main/a
  soon 8 '' show main/a
  soon 8 '' list main
  soon 8 '' pool create other --url "$url"
  soon 8 '' pool create another --url "$url" --url "${url/127.0.0.1/localhost}"
  soon 8 '' mirror add main "${url/127.0.0.1/localhost}"
  settle
  equal "pools" 1 "$(pools)"
  if [ $way = gone ]; then
    start_store
  else
    # What it was asked before it fell silent, it may do as it wakes: the create's first step, which docs/semantics.md
    # says how to go on with.
    kill -CONT "$(pid_of store)"
    wait_for 20 "the store's answer" curl -s -o /dev/null --max-time 2 "$STORE_URL"
    sleep 1
    restblk create main/b 64M
    restblk delete --yes main/b
  fi
  unchanged "the pool after a server that was $way"
done

unset forms

say "the volume whose attach failed is attached as ever"
restblk attach main/a --transport loop > "$WORK/device"
restblk detach main/a
unchanged "the pool after an attach"
stop store

say "a wrong password"
(umask 077; echo right-secret > "$WORK/password"; echo false-secret > "$WORK/not-password")
start_store --user me --password-file "$WORK/password"
gives 7 'credentials' pool create locked --url "$url" --user me --password-file "$WORK/not-password"
gives 7 'credentials' pool create locked --url "$url"
gives 6 'password' pool create locked --url "$url" --user me --password-file "$WORK/no-such-file"
gives 7 'credentials' create main/b 64M
equal "pools" 1 "$(pools)"
if grep -r 'false-secret' "$WORK"/*.log "$WORK"/given.* "$WORK/state"; then fail "the password is in a log, an answer or the daemon's state"; fi
restblk pool create locked --url "$url" --user me --password-file "$WORK/password"
restblk pool delete locked
stop store

say "an expired certificate, and one of a stranger"
mkdir "$WORK/ca"
cd "$WORK/ca"
: > index.txt
printf '%s\n' '[ca]' 'default_ca = it' '[it]' 'database = index.txt' 'new_certs_dir = .' 'serial = serial' 'unique_subject = no' 'default_md = sha256' \
  'policy = any' '[any]' 'commonName = supplied' '[server]' 'basicConstraints = CA:FALSE' 'subjectAltName = DNS:localhost,IP:127.0.0.1' > ca.conf
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${key[@]}" -keyout ca.key -out ca.pem -days 30 -subj /CN=test-ca 2> openssl.txt || fail "$(cat openssl.txt)"
# certificate NAME [DATES of openssl…]
certificate() {
  openssl req "${key[@]}" -keyout "$1.key" -out "$1.csr" -subj /CN=localhost 2> openssl.txt &&
    openssl ca -batch -notext -rand_serial -config ca.conf -extensions server -cert ca.pem -keyfile ca.key -in "$1.csr" -out "$1.pem" "${@:2}" 2> openssl.txt ||
    fail "no certificate: $(cat openssl.txt)"
}
certificate expired -startdate 20200101000000Z -enddate 20200201000000Z
certificate good -days 30
cd /
for which in expired good; do
  port=$(free_port)
  start "tls-$which" "$RESTBLK" serve "$WORK/store" --no-plain-http --tls-listen "127.0.0.1:$port" --tls-cert "$WORK/ca/$which.pem" --tls-key "$WORK/ca/$which.key"
  wait_for 20 "the store's answer" started_and_answers "tls-$which" "https://127.0.0.1:$port/" -k
  tls=https://127.0.0.1:$port/cdmi/2.0.0/
  if [ $which = expired ]; then
    gives 7 'expired' pool create tls --url "$tls" --ca-file "$WORK/ca/ca.pem"
  else
    gives 7 'certificate' pool create tls --url "$tls"
    restblk pool create tls --url "$tls" --ca-file "$WORK/ca/ca.pem"
    restblk pool delete tls
  fi
  stop "tls-$which"
done
equal "pools" 1 "$(pools)"
start_store
unchanged "the pool after refused clients"
restblk pool delete main
stop store

say "a full disk under the store"
truncate -s 64M "$WORK/disk.img"
mkfs.ext4 -q -F -m 0 "$WORK/disk.img"
rm -rf "$WORK/store"; mkdir "$WORK/store"
mount -o loop "$WORK/disk.img" "$WORK/store"
start_store
restblk pool create main --url "$url"
restblk create main/a 1G
device=$(restblk attach main/a --transport loop)
dd if=/dev/urandom of="$device" bs=1M count=8 oflag=direct conv=fsync status=none
sum=$(dd if="$device" bs=1M count=8 iflag=direct status=none | sha256sum)
refuses -c 1 -m 'no space left' dd if=/dev/urandom of="$device" bs=1M seek=8 count=100 oflag=direct conv=fsync status=none
is_running daemon || fail "the daemon is gone"
equal "what was flushed before" "$sum" "$(dd if="$device" bs=1M count=8 iflag=direct status=none | sha256sum)"
checks=$((checks + 1))
# the rest of the disk, so that not even a record can be made
dd if=/dev/zero of="$WORK/store/filler" bs=4k status=none 2> "$WORK/dd.txt" || true
i=0
while mkdir "$WORK/store/d$i" 2> "$WORK/mkdir.txt"; do i=$((i + 1)); [ $i -lt 20000 ] || fail "the disk does not fill"; done
sync -f "$WORK/store"
note
gives 9 'space' create main/b 64M
unchanged "the full store"
# its object may be longer by now, as docs/semantics.md has it; the volume is not
gives 9 'space' extend main/a 2G
equal "the volumes of the full store" "$(tail -n 1 <<< "$before")" "$(state | tail -n 1)"
equal "the device" $((1 << 30)) "$(blockdev --getsize64 "$device")"
rm -rf "$WORK/store/filler" "$WORK/store"/d[0-9]*
blkdiscard -o $((16 << 20)) -l $((84 << 20)) "$device"
dd if=/dev/urandom of="$device" bs=1M seek=32 count=8 oflag=direct conv=fsync status=none || fail "no write after space was made"
restblk extend main/a 2G
equal "zeros in what was added" "$(head -c 1M /dev/zero | sha256sum)" "$(dd if="$device" bs=1M skip=1500 count=1 iflag=direct status=none | sha256sum)"
restblk detach main/a
restblk create main/b 64M
figure "$checks refusals, each with its exit code, a message and nothing half-made, the slowest after $((slowest / 1000)).$((slowest / 100 % 10)) s"
