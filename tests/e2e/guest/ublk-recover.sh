#!/bin/bash
# test: a mounted file system outlives kill -9 and the replacement of the process that serves its ublk device
# kernels: 6.12 7.2
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/crates/ublk/examples/attach.bash"

truncate -s 192M "$WORK/volume"
attach first "$WORK/volume" --label test/volume --latency-ms 4
equal 'the size' $((192 << 20)) "$(blockdev --getsize64 "$DEV")"
mkfs.ext4 -q -F "$DEV"
mkdir "$WORK/mnt"
mount "$DEV" "$WORK/mnt"

# Two kinds of writers: fio, which reads back and compares every block, and one that fsyncs each file.
fio --name=verify --directory="$WORK/mnt" --size=12M --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=16 \
  --verify=crc32c --verify_fatal=1 --output="$WORK/fio.log" &
fio=$!
(for n in $(seq 60); do
  dd if=/dev/urandom of="$WORK/mnt/f$n" bs=64k count=2 conv=fsync status=none && sha256sum "$WORK/mnt/f$n" >> "$WORK/sums" || echo "file $n failed" >> "$WORK/writer.log"
done) &
writer=$!

lives() { kill -0 $fio 2> /dev/null || fail "fio has ended already: the test came too late"; }
start_at=$(written "$DEV")
wait_for 60 'some writes' written_more_than "$DEV" $((start_at + 2000))

lives
in_flight() { read -r reads writes < "/sys/block/${DEV#/dev/}/inflight" && [ $((reads + writes)) -gt 4 ]; }
wait_for 20 'requests in flight' in_flight
in_flight || true
crash first
say "killed with $reads reads and $writes writes in flight"
sleep 1
[ -b "$DEV" ] || fail "the device went with its process"
attach second "$WORK/volume" --label test/volume --latency-ms 4 --recover 0
grep -q 'resumed=true' "$WORK/second.log" || fail 'the device was not taken over'
before=$(written "$DEV")
wait_for 60 'writes after the recovery' written_more_than "$DEV" $((before + 1000))

lives
say 'handing over in mid-I/O'
tell second INT
ended second
says second 'handed over Ublk'
attach third "$WORK/volume" --label test/volume --latency-ms 4 --recover 0
grep -q 'resumed=true' "$WORK/third.log" || fail 'the device was not taken over again'

say 'a second process cannot have it while the third serves it'
status=0
"$attach_program" "$WORK/volume" --label test/volume --recover 0 > "$WORK/thief.log" 2>&1 || status=$?
equal 'status of the thief' 1 $status
grep -q "process $(pid_of third) serves it" "$WORK/thief.log" || fail 'the thief was not told who serves the device'

wait $fio || { cat "$WORK/fio.log"; fail 'fio saw an error'; }
wait $writer
[ ! -e "$WORK/writer.log" ] || fail 'an fsynced write failed'
equal 'files written' 60 "$(wc -l < "$WORK/sums")"
umount "$WORK/mnt"
blockdev --flushbufs "$DEV"
fsck.ext4 -fn "$DEV" || fail 'the file system is damaged'
mount "$DEV" "$WORK/mnt"
sha256sum --quiet -c "$WORK/sums"
umount "$WORK/mnt"
stop third 60
says third 'detached after'
[ ! -e "$DEV" ] || fail "$DEV is still there"
! dmesg | grep -E 'I/O error|EXT4-fs error|WARNING|hung task' || fail 'the kernel complained'
say 'two deaths, no error'
