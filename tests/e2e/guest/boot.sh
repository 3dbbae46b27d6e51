#!/bin/bash
# test: a guest that dies before its command begins is started once more, loudly; one whose command has begun never is
# runs: on the host
# kernels: 7.2
# timeout: 300
. "$RESTBLK_ROOT/tests/lib.sh"
need pgrep
mkdir "$WORK/share"
run() { "$RESTBLK_ROOT/vm/run" -k "$KERNEL" -N -w "$WORK/share" "$@"; }
times_begun() { wc -l < "$WORK/share/begun"; }

say "QEMU is killed at boot"
start guest "$RESTBLK_ROOT/vm/run" -k "$KERNEL" -N -w "$WORK/share" -- sh -c 'echo begun >> "$0/begun" && uname -r' "$WORK/share"
# vm/run → timeout → QEMU
qemu() { pgrep -P "$(pgrep -P "$(pid_of guest)" -x timeout)" -f qemu-system; }
wait_for 20 "QEMU's start" qemu
kill -KILL "$(qemu)"
wait_for 200 "the guest's end" not_running guest
wait "$(pid_of guest)" || fail "the second boot did not do"
unset "started[guest]"
grep -q 'STARTING IT ONCE MORE' "$WORK/guest.log" || fail "it was not said: $(cat "$WORK/guest.log")"
grep -q "^$KERNEL" "$WORK/guest.log" || fail "the command's output is missing"
equal "times the command ran" 1 "$(times_begun)"

say "a boot that never comes to its command, twice"
status=0
RESTBLK_VM_BOOT_S=1 run -- true > "$WORK/never.log" 2>&1 || status=$?
equal "status" 126 $status
grep -q 'died twice before its command began' "$WORK/never.log" || fail "it was not said: $(cat "$WORK/never.log")"
equal "starts" 1 "$(grep -c 'STARTING IT ONCE MORE' "$WORK/never.log")"

say "a command that takes the machine down is not run again"
status=0
run -- sh -c 'echo begun >> "$0/begun" && sync && echo b > /proc/sysrq-trigger && sleep 60' "$WORK/share" > "$WORK/down.log" 2>&1 || status=$?
equal "status" 126 $status
equal "times a command ran" 2 "$(times_begun)"
! grep -q 'ONCE MORE' "$WORK/down.log" || fail "it was started again"
