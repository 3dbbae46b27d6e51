#!/usr/bin/env bash
# claim: other people's NBD clients (libnbd, QEMU) read, write, flush, trim and copy exports, by Unix socket, TCP and TLS; thousands of malformed conversations harm nobody
# timeout: 1200
. "$RESTBLK_ROOT/tests/lib.sh"
need nbdinfo nbdcopy qemu-img qemu-io jq python3 openssl strace curl
need_root
# Debian's bindings belong to Debian's Python, whatever other one comes first in the path
nbdsh() { PATH=/usr/bin:/bin command nbdsh "$@"; }
nbdsh -c 'print(nbd.NBD().get_version())' > "$WORK/nbdsh.txt" 2>&1 || fail "nbdsh: $(cat "$WORK/nbdsh.txt") (cargo xtask setup)"

MIB=64
SIZE=$((MIB << 20))
SPOILT=${SPOILT:-4000}
checks=0
holds() { equal "$@"; checks=$((checks + 1)); }
# has WHAT REGEX FILE
has() { grep -Eq -- "$2" "$3" || fail "$1: no line like \`$2\` in: $(cat "$3")"; checks=$((checks + 1)); }
same() { cmp "$2" "$3" > "$WORK/cmp.txt" 2>&1 || fail "$1: $(cat "$WORK/cmp.txt")"; checks=$((checks + 1)); }
random() { dd if=/dev/urandom of="$1" bs=1M count="$MIB" status=none; }
allocated() { echo $(($(stat -c %b "$WORK/store/$1") * 512)); }
sockets() { find "/proc/$(pid_of daemon)/fd" -lname 'socket:*' 2> /dev/null | wc -l; }
few_sockets() { [ "$(sockets)" -le "$1" ]; }
memory_mib() { echo $(($(awk -v what="$1:" '$1 == what { print $2 }' "/proc/$(pid_of daemon)/status") / 1024)); }

# One export, by whatever way: URI is libnbd's and QEMU's word for it.
clients() {
  local way=$1 uri=$2
  say "$way: nbdinfo"
  nbdinfo --json "$uri" > "$WORK/info.json"
  holds "$way: facts" "$SIZE true true true true true true true false 512 65536 33554432" "$(jq -r '.exports[0] |
    [."export-size", .can_flush, .can_fua, .can_trim, .can_zero, .can_fast_zero, .can_multi_conn, .can_df, .is_read_only,
     .block_size_minimum, .block_size_preferred, .block_size_maximum] | map(tostring) | join(" ")' "$WORK/info.json")"
  holds "$way: structured replies" true "$(jq .structured "$WORK/info.json")"
  holds "$way: size" "$SIZE" "$(nbdinfo --size "$uri")"
  refuses -m 'No such file or directory for export' nbdinfo "${uri/main%2Fa/main%2Fnone}"
  nbdinfo --list --json "${uri/main%2Fa/}" > "$WORK/list.json"
  holds "$way: exports" "main/a main/spoilt" "$(jq -r '[.exports[]."export-name"] | sort | join(" ")' "$WORK/list.json")"

  say "$way: nbdcopy, one connection and several"
  random "$WORK/in"
  nbdcopy --flush "$WORK/in" "$uri"
  same "$way: what nbdcopy wrote, on the store" "$WORK/in" "$WORK/store/a"
  nbdcopy "$uri" "$WORK/out"
  same "$way: what nbdcopy read" "$WORK/in" "$WORK/out"
  random "$WORK/in"
  nbdcopy --flush --connections=4 --requests=16 --request-size=1048576 "$WORK/in" "$uri"
  same "$way: written over 4 connections" "$WORK/in" "$WORK/store/a"
  nbdcopy --connections=8 --requests=32 --request-size=$((32 << 20)) "$uri" "$WORK/out"
  same "$way: read over 8 connections by the longest requests" "$WORK/in" "$WORK/out"
  nbdcopy --synchronous "$uri" - > "$WORK/out"
  same "$way: read one by one" "$WORK/in" "$WORK/out"

  say "$way: qemu-img"
  random "$WORK/in"
  qemu-img convert -n -f raw -O raw "$WORK/in" "$uri"
  same "$way: what QEMU wrote, on the store" "$WORK/in" "$WORK/store/a"
  qemu-img convert -f raw -O qcow2 "$uri" "$WORK/out.qcow2"
  qemu-img check -q "$WORK/out.qcow2"
  qemu-img compare -q -f raw -F qcow2 "$uri" "$WORK/out.qcow2"
  qemu-img convert -m 16 -W -f raw -O raw "$uri" "$WORK/out"
  same "$way: what QEMU read" "$WORK/in" "$WORK/out"
  checks=$((checks + 2))
  # an image of QEMU's own format within the export
  qemu-img create -q -f qcow2 "$uri" 32M
  qemu-io -f qcow2 -c 'write -P 5 0 16M' -c 'read -P 5 0 16M' -c 'discard 4M 4M' -c flush "$uri" > "$WORK/qemu-io.txt"
  qemu-img check -q -f qcow2 "$uri"
  checks=$((checks + 1))

  say "$way: qemu-io"
  qemu-io -f raw -t none -c 'write -P 7 -f 0 64k' -c 'read -P 7 0 64k' -c 'write -P 9 4k 4k' -c 'read -P 9 4k 4k' \
    -c 'write -z 0 4k' -c 'read -P 0 0 4k' -c 'write -z -u 64k 1M' -c 'read -P 0 64k 1M' -c 'write -z -f 2M 64k' -c 'read -P 0 2M 64k' \
    -c 'discard 32k 32k' -c 'aio_write -P 3 8M 8M' -c 'aio_write -P 4 16M 8M' -c aio_flush -c 'read -P 3 8M 8M' -c 'read -P 4 16M 8M' \
    -c 'writev -P 6 1M 4k 512 60k' -c 'read -P 6 1M 66048' -c flush "$uri" > "$WORK/qemu-io.txt" 2>&1 || fail "qemu-io: $(cat "$WORK/qemu-io.txt")"
  ! grep -Ei 'fail|error|verif' "$WORK/qemu-io.txt" || fail "$way: qemu-io: $(cat "$WORK/qemu-io.txt")"
  checks=$((checks + 10))

  say "$way: nbdsh"
  nbdsh -u "$uri" -c - > "$WORK/nbdsh.txt" 2>&1 <<'PYTHON' || fail "$way: nbdsh: $(cat "$WORK/nbdsh.txt")"
import errno, threading
def fails(wanted, call, *arguments):
    try:
        call(*arguments)
    except nbd.Error as error:
        assert error.errnum == wanted, (error, wanted)
    else:
        raise AssertionError(f"{arguments} did not fail")
h.set_strict_mode(0)
size = h.get_size()
fails(errno.EINVAL, h.pread, 100, 3)
fails(errno.EINVAL, h.pread, 512, size)
fails(errno.ENOSPC, h.pwrite, bytes(512), size)
fails(errno.EINVAL, h.trim, 512, size)
fails(errno.EINVAL, h.cache, 512, 0)
fails(errno.EINVAL, h.pwrite, bytes(512), 0, nbd.CMD_FLAG_DF)
h.pwrite(b"x" * 4096, 8192, nbd.CMD_FLAG_FUA)
assert h.pread(4096, 8192) == b"x" * 4096
h.zero(4096, 8192, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
assert h.pread(4096, 8192) == bytes(4096)
h.trim(1 << 20, 0, nbd.CMD_FLAG_FUA)
assert h.pread(1 << 20, 0) == bytes(1 << 20)
cookies = [h.aio_pread(nbd.Buffer(65536), at * 65536) for at in range(128)]
while cookies:
    h.poll(-1)
    cookies = [cookie for cookie in cookies if not h.aio_command_completed(cookie)]
assert h.pread_structured(4096, 0, lambda data, offset, status, error: None)[:4] == bytes(4)
h.shutdown()
print("all held")
PYTHON
  has "$way: nbdsh" '^all held$' "$WORK/nbdsh.txt"
}

start_store
port=$(free_port)
start_daemon "[control]" "enabled = false" "[nbd]" "listen = [\"127.0.0.1:$port\"]"
restblk pool create main --url "$STORE_URL/cdmi/2.0.0/"
for name in a spoilt; do
  restblk create "main/$name" "${MIB}M"
  restblk export "main/$name" > "$WORK/$name.uris"
done
unix=$(sed -n 1p "$WORK/a.uris") tcp=$(sed -n 2p "$WORK/a.uris")
holds "the Unix socket's URI" "nbd+unix:///main%2Fa?socket=$WORK/run/nbd.sock" "$unix"
holds "TCP's URI" "nbd://127.0.0.1:$port/main%2Fa" "$tcp"
clients unix "$unix"
clients tcp "$tcp"

say "what FUA, flush, trim and zeroes do on the store"
# syncs COMMANDS of nbdsh…: how often the store's process asks its disk meanwhile
syncs() {
  local count
  start trace strace -f -qq -e trace=fsync,fdatasync -o "$WORK/trace" -p "$(pid_of store)"
  wait_for 20 "strace" grep -q '^TracerPid:.*[1-9]' "/proc/$(pid_of store)/status"
  nbdsh -u "$unix" -c "$1" || fail "nbdsh: $1"
  stop trace
  count=$(grep -c 'sync(' "$WORK/trace" || true)
  rm "$WORK/trace"
  echo "$count"
}
holds "syncs of a plain write" 0 "$(syncs 'h.pwrite(b"a" * 4096, 0)')"
holds "syncs of 3 forced writes" 3 "$(syncs 'for at in range(3): h.pwrite(b"b" * 4096, 4096 * at, nbd.CMD_FLAG_FUA)')"
holds "syncs of a write and a flush" 1 "$(syncs 'h.pwrite(b"c" * 4096, 0); h.flush()')"
holds "syncs of forced zeroes" 1 "$(syncs 'h.zero(4096, 0, nbd.CMD_FLAG_FUA)')"
nbdcopy "$WORK/in" "$unix"
full=$(allocated a)
qemu-io -f raw -c 'write -z 8M 8M' "$unix" > "$WORK/qemu-io.txt"
[ "$(allocated a)" -ge "$full" ] || fail "zeroes that must not be a hole became one"
qemu-io -f raw -c 'write -z -u 8M 8M' "$unix" > "$WORK/qemu-io.txt"
holds "bytes freed by zeroes that may be a hole" $((8 << 20)) $((full - $(allocated a)))
qemu-io -f raw -c 'discard 16M 16M' "$unix" > "$WORK/qemu-io.txt"
holds "bytes freed by a discard" $((24 << 20)) $((full - $(allocated a)))
checks=$((checks + 1))

say "several connections see one volume"
URI=$unix nbdsh -c - > "$WORK/nbdsh.txt" 2>&1 <<'PYTHON' || fail "nbdsh: $(cat "$WORK/nbdsh.txt")"
import os
many = []
for _ in range(32):
    one = nbd.NBD()
    one.connect_uri(os.environ["URI"])
    assert one.can_multi_conn()
    many.append(one)
for at, one in enumerate(many):
    one.pwrite(bytes([at + 1]) * 4096, at * 4096)
many[0].flush()
for one in many:
    assert one.pread(32 * 4096, 0) == b"".join(bytes([at + 1]) * 4096 for at in range(32))
    one.shutdown()
PYTHON
checks=$((checks + 1))

say "a read-only export"
restblk create main/frozen 1M
restblk export --read-only main/frozen > "$WORK/frozen.uris"
frozen=$(head -n 1 "$WORK/frozen.uris")
holds "read-only" true "$(nbdinfo --json "$frozen" | jq '.exports[0].is_read_only')"
refuses -m 'read-only|Permission|not permitted' qemu-io -f raw -c 'write 0 4k' "$frozen"
refuses -m 'EPERM|Operation not permitted|read-only' nbdsh -u "$frozen" -c 'h.set_strict_mode(0); h.pwrite(bytes(512), 0)'
restblk unexport main/frozen
refuses nbdinfo "$frozen"
checks=$((checks + 3))

say "a client that is connected keeps its export; one that has gone does not"
start holder env PATH=/usr/bin:/bin nbdsh -u "$unix" -c 'import time; print("held", flush=True); time.sleep(600)'
wait_for 20 "the client" grep -q held "$WORK/holder.log"
refuses -c 5 restblk unexport main/a
crash holder
wait_for 20 "the end of the export" restblk unexport main/a
restblk export main/a > "$WORK/a.uris"
checks=$((checks + 2))

say "$SPOILT malformed conversations by each way"
nbdcopy --flush "$WORK/in" "$unix"
wait_for 20 "idle sockets" few_sockets 40
open=$(sockets)
python3 "$RESTBLK_ROOT/tests/nbd/malformed.py" --unix "$WORK/run/nbd.sock" --export main/spoilt --size "$SIZE" --count "$SPOILT" --seed 1 > "$WORK/by-unix.json"
python3 "$RESTBLK_ROOT/tests/nbd/malformed.py" --tcp "127.0.0.1:$port" --export main/spoilt --size "$SIZE" --count "$SPOILT" --seed 1000001 > "$WORK/by-tcp.json"
sum() { jq -s "map(.$1) | add" "$WORK"/by-*.json; }
say "$(sum conversations) conversations: $(sum answered) requests answered, $(sum refused) of them refused, $(sum options) options answered"
holds "conversations" $((2 * SPOILT)) "$(sum conversations)"
is_running daemon || fail "the daemon is gone"
! grep -Ei 'panic' "$WORK/daemon.log" || fail "the daemon panicked"
wait_for 60 "the end of every connection" few_sockets "$open"
nbdcopy "$unix" "$WORK/out"
same "another volume, afterwards" "$WORK/in" "$WORK/out"
spoilt_mib=$(memory_mib VmHWM)
checks=$((checks + 3))

say "300 clients that say nothing, and 16 that take no answers"
cat > "$WORK/silent.py" <<'PYTHON'
import socket, sys, time
silent = []
for number in range(300):
    one = socket.socket(socket.AF_UNIX)
    one.connect(sys.argv[1])
    try:
        one.send(b"" if number % 2 else b"\0\0")
    except BrokenPipeError:
        pass
    silent.append(one)
print("silent", flush=True)
time.sleep(600)
PYTHON
start silent python3 "$WORK/silent.py" "$WORK/run/nbd.sock"
wait_for 60 "the silent clients" grep -q silent "$WORK/silent.log"
began=$(elapsed_ms)
wait_for 60 "a place for a good client" nbdinfo --size "$unix"
say "a good client is served after $(($(elapsed_ms) - began)) ms"
stop silent
cat > "$WORK/greedy.py" <<'PYTHON'
import os, time
many = []
for _ in range(16):
    one = nbd.NBD()
    one.connect_uri(os.environ["URI"])
    for at in range(64):
        one.aio_pread(nbd.Buffer(1 << 20), at << 20)
        # sends it, reads nothing
        one.aio_notify_write() if one.aio_get_direction() & nbd.AIO_DIRECTION_WRITE else None
    many.append(one)
print("asked", flush=True)
time.sleep(600)
PYTHON
start greedy env PATH=/usr/bin:/bin URI="$unix" nbdsh -c "$(cat "$WORK/greedy.py")"
wait_for 60 "the greedy clients" grep -q asked "$WORK/greedy.log"
began=$(elapsed_ms)
wait_for 150 "a good client's turn" timeout 140 nbdcopy "$tcp" "$WORK/out"
say "a good client is served after $(($(elapsed_ms) - began)) ms"
same "a good client, beside them" "$WORK/in" "$WORK/out"
most_mib=$(memory_mib VmHWM)
say "memory at the most: $spoilt_mib MiB in the malformed conversations, $most_mib MiB in all"
[ "$most_mib" -le 1024 ] || fail "$most_mib MiB of memory"
stop greedy
wait_for 90 "the end of every connection" few_sockets "$open"
checks=$((checks + 4))

say "TLS"
mkdir "$WORK/pki" "$WORK/stranger"
cd "$WORK/pki"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca-key.pem -out ca-cert.pem -days 30 -subj /CN=test-ca 2> openssl.txt
for name in server client; do
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name-key.pem -out $name.csr -subj /CN=localhost 2>> openssl.txt
  openssl x509 -req -in $name.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -out $name-cert.pem -days 30 2>> openssl.txt \
    -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1"; echo "basicConstraints=CA:FALSE")
done
# trusts the server, and has no certificate of its own
cp ca-cert.pem "$WORK/stranger/"
cd /
stop daemon
printf '%s\n' "[nbd]" "listen = [\"127.0.0.1:$port\"]" "tls_cert = \"$WORK/pki/server-cert.pem\"" "tls_key = \"$WORK/pki/server-key.pem\"" \
  "tls_client_ca = \"$WORK/pki/ca-cert.pem\"" > "$WORK/nbd.toml"
sed -i '/^\[nbd\]/,$d' "$WORK/restblk.toml"
cat "$WORK/nbd.toml" >> "$WORK/restblk.toml"
start_daemon
# exports come back with the daemon; exported again, their addresses are said again
for name in a spoilt; do restblk unexport "main/$name" && restblk export "main/$name" > "$WORK/$name.uris"; done
unix=$(sed -n 1p "$WORK/a.uris") tls=$(sed -n 2p "$WORK/a.uris")
holds "the URI with TLS" "nbds://127.0.0.1:$port/main%2Fa" "$tls"
holds "TLS" true "$(nbdinfo --json "$tls?tls-certificates=$WORK/pki" | jq .TLS)"
refuses -m 'TLS|requires' nbdinfo "${tls/nbds:/nbd:}"
refuses nbdinfo "$tls?tls-certificates=$WORK/stranger"
random "$WORK/in"
nbdcopy --flush --connections=4 "$WORK/in" "$tls?tls-certificates=$WORK/pki"
same "written through TLS" "$WORK/in" "$WORK/store/a"
nbdcopy --connections=4 "$tls?tls-certificates=$WORK/pki" "$WORK/out"
same "read through TLS" "$WORK/in" "$WORK/out"
# qemu COMMAND OPTIONS…: with QEMU's words for the export, $image
credentials=(--object "tls-creds-x509,id=tls0,endpoint=client,dir=$WORK/pki,verify-peer=yes")
image=driver=nbd,host=127.0.0.1,port=$port,export=main/a,tls-creds=tls0,tls-hostname=localhost
random "$WORK/in"
qemu-img convert "${credentials[@]}" -n --target-image-opts -f raw "$WORK/in" "driver=raw,file.${image//,/,file.}"
same "what QEMU wrote through TLS" "$WORK/in" "$WORK/store/a"
qemu-img convert "${credentials[@]}" --image-opts "$image" -O raw "$WORK/out"
same "what QEMU read through TLS" "$WORK/in" "$WORK/out"
qemu-io "${credentials[@]}" --image-opts -c 'write -P 7 -f 0 1M' -c 'read -P 7 0 1M' -c 'write -z -u 0 64k' -c 'read -P 0 0 64k' -c 'discard 1M 1M' -c flush \
  "$image" > "$WORK/qemu-io.txt" 2>&1 || fail "qemu-io: $(cat "$WORK/qemu-io.txt")"
! grep -Ei 'fail|error|verif' "$WORK/qemu-io.txt" || fail "qemu-io: $(cat "$WORK/qemu-io.txt")"
checks=$((checks + 4))

figure "$checks checks by libnbd and QEMU on Unix, TCP and TLS; $(sum conversations) malformed conversations ($(sum answered) requests and $(sum options) options answered), no crash, no connection left, at most $most_mib MiB"
