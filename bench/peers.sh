#!/usr/bin/env bash
# bench: 4 KiB random, 1 MiB sequential and flush, through NBD and loop, against nbdkit (file, curl) and a plain loop device
# timeout: 1700
#
# All over one local file system, in one run: the store (`restblk serve`, plain HTTP, loopback) and the peers' files lie in
# $WORK. bench/peers.py runs the jobs, alternating the targets, and prints medians and ratios (restblk ÷ peer).
# nbdkit's curl plugin reads the very file of a restblk volume from the same server, and cannot write: it has no write or
# flush rows. (It has a kind of write, a PUT with a Range header, which no store is proved to honour: it is run read-only.
# Debian 12's takes one request at a time on each NBD connection; a newer one has `connections=`, and is given it.)
# The same for all: the size, the jobs, one NBD connection of fio's nbd engine, and the connections to the server.
#
# `cargo xtask bench peers -- --seconds 5 --rounds 3 --only nbd,curl --jobs randread-1` (by default 5 s, 3 rounds, all).
. "$RESTBLK_ROOT/tests/lib.sh"
need fio nbdkit curl losetup python3 fallocate
need_loop

SIZE_MIB=${SIZE_MIB:-512}
CONNECTIONS=${CONNECTIONS:-16}

start_store
start_daemon "[control]" "enabled = false"
restblk pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/" --connections "$CONNECTIONS"
for name in by-nbd by-loop; do restblk create "main/$name" "${SIZE_MIB}M"; done
# every block of every file is written, so that no job reads holes
for file in "$WORK/store/by-nbd" "$WORK/store/by-loop" "$WORK/nbdkit.img" "$WORK/loop.img"; do
  dd if=/dev/urandom of="$file" bs=1M count="$SIZE_MIB" conv=notrunc,fdatasync status=none
done

restblk_nbd=$(restblk export main/by-nbd | head -n 1)
restblk_loop=$(restblk attach main/by-loop --transport loop)
start nbdkit-file nbdkit -f -U "$WORK/file.sock" file "$WORK/nbdkit.img"
curl_options=()
if nbdkit curl --help | grep -q 'connections='; then curl_options=("connections=$CONNECTIONS"); fi
# as many threads as the deepest job has requests in flight
start nbdkit-curl nbdkit -f -r -t 32 -U "$WORK/curl.sock" curl "$STORE_URL/cdmi/2.0.0/by-nbd" "${curl_options[@]}"
wait_for 20 "nbdkit's socket (file)" test -S "$WORK/file.sock"
wait_for 20 "nbdkit's socket (curl)" test -S "$WORK/curl.sock"
# buffered, as the store's and nbdkit's files are
plain_loop=$(losetup --find --show "$WORK/loop.img")

python3 "$RESTBLK_ROOT/bench/peers.py" --work "$WORK" --size-mib "$SIZE_MIB" --connections "$CONNECTIONS" \
  --url "$STORE_URL/cdmi/2.0.0/by-nbd" --nbd "$restblk_nbd" --loop "$restblk_loop" \
  --file "nbd+unix:///?socket=$WORK/file.sock" --curl "nbd+unix:///?socket=$WORK/curl.sock" --plain "$plain_loop" "$@"
