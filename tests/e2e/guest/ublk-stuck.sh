#!/bin/bash
# test: a store that does not answer delays ublk devices and hangs nothing: attach, detach, hand-over and removal end in time
# kernels: 6.12 7.2
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/crates/ublk/examples/attach.bash"

truncate -s 32M "$WORK/volume" "$WORK/dead"

say 'attaching a volume that does not answer'
start dead "$attach_program" "$WORK/dead" --label test/dead --down
sleep 2

attach one "$WORK/volume" --label test/slow
say 'the store goes away under a reader'
tell one USR2
says one '^down true'
dd if="$DEV" of="$WORK/read" bs=64k count=4 iflag=direct 2> "$WORK/dd.log" &
reader=$!
sleep 1
kill -0 $reader || fail 'the read did not wait'

say 'detaching then fails with a reason'
tell one TERM
began=$(elapsed_ms)
wait_for 30 'an answer to detach' grep -q 'flushing the volume takes longer than 10 s' "$WORK/one.log"
[ $(($(elapsed_ms) - began)) -lt 20000 ] || fail 'detach took longer than 20 s'
[ -b "$DEV" ] || fail 'the device has gone'
is_running one || fail 'the process has gone'
kill -0 $reader || fail 'the read has ended'

case $(uname -r) in
  6.12*)
    # START_DEV reads the partition table.
    wait_for 60 'the end of the attach' not_running dead
    says dead 'failed to start /dev/ublkb.*is the volume readable'
    ;;
  *)
    # Newer kernels look for partitions later; what they wait for is cleared away all the same.
    says dead '^ready '
    crash dead
    "$attach_program" --clean 0
    ;;
esac
equal 'devices' "$DEV" "$(echo /dev/ublkb*)"

say 'the store comes back'
tell one USR2
wait $reader || fail 'the read failed'
say 'it goes again, and the process hands over what it cannot finish'
tell one USR2
says one '^down true'
dd if="$DEV" of="$WORK/read" bs=64k count=4 iflag=direct 2> "$WORK/dd.log" &
reader=$!
sleep 1
tell one INT
wait_for 100 'the end of the process' not_running one
says one 'handed over Ublk'
says one 'requests are still in flight'
attach two "$WORK/volume" --label test/slow --recover "${DEV#/dev/ublkb}"
wait $reader || fail 'the read failed although it was sent again'
stop two 60
[ ! -e "$DEV" ] || fail "$DEV is still there"
! dmesg | grep -E 'WARNING|BUG' || fail 'the kernel complained'
