#!/usr/bin/env bash
# claim: bad input and broken stores get a clear error with the documented exit code, and leave nothing half-made
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
need mkfs.ext4 openssl jq curl
need_loop

checks=0
# gives STATUS REGEX ARGUMENTS of restblk…: refused so, in words and as JSON with a message; and within 20 s.
gives() {
  local status=$1 regex=$2 from took found=0
  shift 2
  from=$(elapsed_ms)
  refuses -c "$status" -m "$regex" restblk "$@"
  took=$(($(elapsed_ms) - from))
  [ "$took" -lt 20000 ] || fail "\`restblk $*\` took $took ms to fail"
  restblk -o json "$@" > "$WORK/out" 2> "$WORK/err" || found=$?
  equal "the status of \`restblk -o json $*\`" "$status" "$found"
  tail -n 1 "$WORK/err" | jq -e '.message | length > 0' > "$WORK/jq" || fail "no message in JSON: $(cat "$WORK/err")"
  equal "standard output of a failure" "" "$(cat "$WORK/out")"
  say "$status after $took ms: restblk ${*:0:9} — $(tail -n 1 "$WORK/err" | jq -r .message)"
  checks=$((checks + 1))
}
# what is on the store, and what the daemon lists: neither may change
unchanged() { equal "$1" "$before" "$(cd "$WORK/store" && find . -printf '%p %s\n' | sort; restblk -o json list main | jq -c 'map([.name, .size])')"; }
note() { before=$(cd "$WORK/store" && find . -printf '%p %s\n' | sort; restblk -o json list main | jq -c 'map([.name, .size])'); }
pools() { restblk -o json pool list | jq length; }

say "names and sizes"
start_store
start_daemon "[control]" "enabled = false"
restblk pool create main --url "$STORE_URL/cdmi/2.0.0/"
restblk create main/a 64M
note
gives 3 nowhere create nowhere/a 64M
gives 3 nowhere list nowhere
gives 3 b show main/b
gives 3 b attach main/b
gives 4 'main/a' create main/a 64M
gives 6 size create main/b 0
gives 6 '' create main/b 16E
gives 6 '' create main/b/c 64M
gives 6 '' create main/../b 64M
gives 6 '' extend main/a 32M
gives 6 '' extend main/a 16E
gives 4 main pool create main --url "$STORE_URL/cdmi/2.0.0/"
unchanged "the pool after bad names and sizes"
equal "pools" 1 "$(pools)"

say "a server that is down"
restblk attach main/a --transport loop > "$WORK/device"
restblk detach main/a
crash store
gives 8 '' create main/b 64M
gives 8 '' attach main/a
gives 8 '' delete --yes main/a
gives 8 '' pool create other --url "$STORE_URL/cdmi/2.0.0/"
equal "pools" 1 "$(pools)"
start_store
unchanged "the pool after the outage"
stop store

say "a wrong password"
echo right > "$WORK/right"; echo wrong > "$WORK/wrong"
chmod 600 "$WORK/right" "$WORK/wrong"
start_store --user me --password-file "$WORK/right"
gives 7 '' pool create locked --url "$STORE_URL/cdmi/2.0.0/" --user me --password-file "$WORK/wrong"
gives 7 '' pool create locked --url "$STORE_URL/cdmi/2.0.0/"
equal "pools" 1 "$(pools)"
! grep -rq wrong "$WORK/daemon.log" "$WORK/out" "$WORK/err" || grep -rw wrong "$WORK/daemon.log" | grep -v "$WORK/wrong" && fail "the password is in the log"
restblk pool create locked --url "$STORE_URL/cdmi/2.0.0/" --user me --password-file "$WORK/right"
restblk pool delete locked
stop store

say "an expired certificate, and one of a stranger"
cd "$WORK"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=test-ca 2> openssl.txt
# certificate NAME [DATES of openssl…]
certificate() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj /CN=localhost 2>> openssl.txt
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$1.pem" "${@:2}" 2>> openssl.txt \
    -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1"; echo "basicConstraints=CA:FALSE")
}
certificate expired -not_before 20200101000000Z -not_after 20200201000000Z
certificate good -days 30
cd /
for which in expired good; do
  port=$(free_port)
  start "tls-$which" "$RESTBLK" serve "$WORK/store" --no-plain-http --tls-listen "127.0.0.1:$port" --tls-cert "$WORK/$which.pem" --tls-key "$WORK/$which.key"
  wait_for 20 "the store's answer" started_and_answers "tls-$which" "https://127.0.0.1:$port/" -k
  url=https://127.0.0.1:$port/cdmi/2.0.0/
  if [ $which = expired ]; then
    gives 7 'expired' pool create tls --url "$url" --ca-file "$WORK/ca.pem"
  else
    gives 7 'certificate' pool create tls --url "$url"
    restblk pool create tls --url "$url" --ca-file "$WORK/ca.pem"
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
mkdir "$WORK/store2"
truncate -s 64M "$WORK/disk.img"
mkfs.ext4 -q -F -m 0 "$WORK/disk.img"
rm -rf "$WORK/store"; mkdir "$WORK/store"
mount -o loop "$WORK/disk.img" "$WORK/store"
start_store
restblk pool create main --url "$STORE_URL/cdmi/2.0.0/"
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
count=$(find "$WORK/store" | wc -l)
refuses -c 9 -m 'space' restblk create main/b 64M
equal "files on the full store" "$count" "$(find "$WORK/store" | wc -l)"
checks=$((checks + 1))
rm -rf "$WORK/store/filler" "$WORK/store"/d[0-9]*
dd if=/dev/urandom of="$device" bs=1M seek=8 count=8 oflag=direct conv=fsync status=none || fail "no write after space was made"
restblk detach main/a
restblk create main/b 64M
figure "$checks refusals, each with its exit code, a message and nothing half-made"
