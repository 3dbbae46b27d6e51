#!/bin/bash
# test: several ublk devices at once; refusals, orphans, removal behind our back, detaching while busy
# kernels: 6.12 7.2
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/crates/ublk/examples/attach.bash"

declare -A at
for n in 1 2 3; do
  truncate -s 32M "$WORK/v$n"
  attach "d$n" "$WORK/v$n" --label "test/v$n" --queues "$n" --depth $((n * 8))
  at[$n]=$DEV
done
equal 'queues of the second' 2 "$(ls /sys/block/ublkb1/mq | wc -l)"
for n in 1 2 3; do
  fio --name="v$n" --filename="${at[$n]}" --size=4M --rw=randrw --bs=4k --direct=1 --ioengine=libaio --iodepth=32 --verify=crc32c \
    --output="$WORK/fio$n.log" &
  jobs[$n]=$!
done
for n in 1 2 3; do
  wait "${jobs[$n]}" || fail "fio on device $n"
done

say 'busy: mounted, then merely open'
mkfs.ext4 -q -F "${at[1]}"
mkdir "$WORK/mnt"
mount "${at[1]}" "$WORK/mnt"
tell d1 TERM
says d1 'failed to detach .*in use'
echo fine > "$WORK/mnt/still-works"
umount "$WORK/mnt"
if ! [[ $(uname -r) = 6.12* ]]; then # where the kernel can tell
  exec 5< "${at[1]}"
  : > "$WORK/d1.log"
  tell d1 TERM
  says d1 'failed to detach .*in use'
  exec 5<&-
fi
stop d1 60
[ ! -e "${at[1]}" ] || fail "${at[1]} is still there"

say 'what is dirty in the page cache arrives when the device is detached'
exec 5> "${at[2]}"
head -c 1M /dev/zero | tr '\0' x >&5
exec 5>&-
stop d2 60
equal 'the last write' xxxx "$(dd if="$WORK/v2" bs=4 count=1 skip=1000 status=none)"

say "another volume's device is never taken over"
crash d3
attach d1 "$WORK/v1" --label test/v1 --recover 2
grep -q 'resumed=false' "$WORK/d1.log" || fail "took over another volume's device"
[ "$DEV" != "${at[3]}" ] || fail "took another volume's number"
grep -q 'belongs to another volume' "$WORK/d1.log" || fail 'it does not say why it attached afresh'
stop d1 60

say 'nor one with other parameters'
status=0
"$attach_program" "$WORK/v3" --label test/v3 --recover 2 --block-size 512 > "$WORK/other.log" 2>&1 || status=$?
equal 'status' 1 $status
grep -q 'the kernel has blocks of 4096 bytes, the volume 512' "$WORK/other.log" || fail 'the reason is missing'

say 'a device that is gone is attached afresh, with its number'
attach d9 "$WORK/v1" --label test/v1 --recover 9
equal 'the number' /dev/ublkb9 "$DEV"
grep -q 'resumed=false' "$WORK/d9.log" || fail 'it cannot have been resumed'
say 'a living one is not cleaned away'
refuses -m "process $(pid_of d9) serves it" "$attach_program" --clean 9
stop d9 60

say 'an orphan with I/O waiting in it is cleaned away, and its users get an error'
dd if="${at[3]}" of=/dev/null bs=4k count=1 iflag=direct 2> "$WORK/orphan.log" &
reader=$!
sleep 0.5
kill -0 $reader || fail 'the read did not wait'
"$attach_program" --clean 2
! wait $reader || fail 'the read succeeded without a server'
[ ! -e "${at[3]}" ] || fail 'the orphan is still there'
"$attach_program" --clean 2 # nothing to do is no error

say 'removal behind our back is noticed'
attach d1 "$WORK/v1" --label test/v1
python3 - "${DEV#/dev/ublkb}" << 'PYTHON'
# STOP_DEV by a ring of our own, as another ublk tool would do it.
import ctypes, mmap, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
params = bytearray(120)
struct.pack_into('I', params, 8, 1 << 10)  # IORING_SETUP_SQE128
pointer = (ctypes.c_char * 120).from_buffer(params)
ring = libc.syscall(425, 4, pointer)
assert ring >= 0, os.strerror(ctypes.get_errno())
sq = struct.unpack_from('10I', params, 40)  # head, tail, mask, entries, flags, dropped, array
rings = mmap.mmap(ring, 4096, offset=0)
entries = mmap.mmap(ring, 4096, offset=0x10000000)
control = os.open('/dev/ublk-control', os.O_RDWR)
code = 3 << 30 | 32 << 16 | ord('u') << 8 | 7
entries[:128] = struct.pack('=BBHiQ', 46, 0, 0, control, code).ljust(48, b'\0') + struct.pack('=IHHQQQ', int(sys.argv[1]), 0xffff, 0, 0, 0, 0).ljust(80, b'\0')
struct.pack_into('I', rings, sq[6], 0)
struct.pack_into('I', rings, sq[1], 1)
assert libc.syscall(426, ring, 1, 1, 1, None, 0) == 1, os.strerror(ctypes.get_errno())
PYTHON
says d1 'gone: the kernel stopped the device'
ended d1
"$attach_program" --clean "${DEV#/dev/ublkb}"
equal 'nodes left' '/dev/ublk-control' "$(echo /dev/ublk*)"
! dmesg | grep -E 'WARNING|hung task|BUG' || fail 'the kernel complained'
