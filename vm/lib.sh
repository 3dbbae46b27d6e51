# shellcheck shell=bash
# What vm/setup, vm/run and vm/snap share: where the artefacts lie, how QEMU is called, how time is given to the guest.
#
# The guest is always emulated (TCG): /dev/kvm, where there is one, is not looked at, so that a sandbox, a container
# and a workstation run the same thing. Nothing here starts a process or writes outside of the cache.

VM_DIR=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
VM_CACHE=${RESTBLK_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/restblk/vm}
export PATH=$PATH:/usr/sbin:/sbin

say() { printf 'vm: %s\n' "$*" >&2; }
die() { printf 'vm: %s\n' "$*" >&2; exit 125; }

# An artefact's folder has the hash of its sources in its name: what was built from other sources is built again, and
# checkouts with different sources do not take it from each other.
hash_of() { (cd "$VM_DIR" && cat -- "$@") | sha256sum | cut -c1-16; }
kernel_key() { printf '%s-%s' "$(hash_of build/kernel build/apt.sh build/vmlinux.py modules guest/init-stage1)" "$(kernel_row "$1" | sha256sum | cut -c1-8)"; }
rootfs_key() { hash_of build/rootfs build/apt.sh guest-packages; }
kernel_names() { awk '!/^#/ && NF { print $1 }' "$VM_DIR/kernels"; }
kernel_row() { awk -v name="$1" '!/^#/ && $1 == name' "$VM_DIR/kernels"; }
kernel_dir() { printf '%s/kernel-%s.%s' "$VM_CACHE" "$1" "$(kernel_key "$1")"; }
rootfs_dir() { printf '%s/rootfs.%s' "$VM_CACHE" "$(rootfs_key)"; }

# Ends with a hint unless kernel $1 and the root file system are built from the present sources.
require_built() {
  [ -n "$(kernel_row "$1")" ] || die "no kernel named $1: vm/kernels has $(kernel_names | paste -sd' ')"
  if ! [ -d "$(kernel_dir "$1")" ] || ! [ -d "$(rootfs_dir)" ]; then
    die "the guest with kernel $1 is not built in $VM_CACHE: run vm/setup"
  fi
}

# The rate of the host's time-stamp counter in kHz. The microvm machine has no timer against which the guest could
# calibrate its own, and TCG hands it the host's: a wrong figure makes the guest's clock run fast or slow.
# Each end of the interval is the narrowest of several readings, so that a busy host does not spoil it.
tsc_khz() {
  local file
  file=$VM_CACHE/tsc-$(cat /proc/sys/kernel/random/boot_id)
  if [ -z "$(find "$file" -mmin -60 -size +0 2>/dev/null)" ]; then
    python3 - > "$file.$$" <<'PY'
import ctypes, mmap, time
# rdtsc; shl rdx, 32; or rax, rdx; ret
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b'\x0f\x31\x48\xc1\xe2\x20\x48\x09\xd0\xc3')
rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
now = lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
def sample():
    readings = []
    for _ in range(20):
        before = now(); ticks = rdtsc(); after = now()
        readings.append((after - before, (before + after) / 2, ticks))
    return min(readings)[1:]
t0, c0 = sample(); time.sleep(0.3); t1, c1 = sample()
print(int((c1 - c0) / (t1 - t0) * 1e6))
PY
    mv "$file.$$" "$file"
  fi
  cat "$file"
}

# Fills the array `qemu` with everything that a run and a snapshot have in common.
# $1 kernel, $2 MiB of memory, $3 processors, $4 initrd, $5 scratch folder (console, rc and out are made in it)
#
# Each part is needed: microvm with PCI boots in a third of the time of a PC; an uncompressed vmlinux enters by PVH, so
# that nothing is unpacked by emulated instructions; `mitigations=off`, `cryptomgr.notests` and the blacklisted
# initcalls save seconds of start-up; output and exit status leave by virtio-serial, because the emulated UART is slow and shared with the kernel's own messages.
qemu_base() {
  local kernel
  kernel=$(kernel_dir "$1")
  qemu=(
    qemu-system-x86_64 -M "microvm,pcie=on,rtc=on,acpi=on,pit=on,pic=on" -accel tcg,thread=multi,tb-size=512 -cpu max
    -m "$2" -smp "$3" -nodefaults -no-user-config -display none -no-reboot
    -kernel "$kernel/vmlinux" -initrd "$4"
    -serial "file:$5/console" -device virtio-serial-pci,max_ports=8
    -chardev "file,id=out,path=$5/out,append=on" -device virtserialport,chardev=out,name=out
    -chardev "file,id=rc,path=$5/rc" -device virtserialport,chardev=rc,name=rc
    -drive "if=none,id=root,file=$(rootfs_dir)/root.erofs,format=raw,readonly=on,cache=unsafe"
    -device virtio-blk-pci,drive=root,serial=root
  )
  append="console=ttyS0 quiet loglevel=4 panic=-1 rdinit=/init nokaslr mitigations=off cryptomgr.notests no_timer_check"
  append+=" tsc_early_khz=$(tsc_khz) tsc=reliable random.trust_cpu=on audit=0 apparmor=0 net.ifnames=0"
  append+=" initcall_blacklist=jent_mod_init,load_system_certificate_list,init_ima,init_encrypted,crypto_kdf108_init"
}

# The kernel's modules, as the last disk so that scratch disks are always /dev/vdb and on. Found by its serial.
qemu_modules() {
  qemu+=(
    -drive "if=none,id=modules,file=$(kernel_dir "$1")/modules.erofs,format=raw,readonly=on,cache=unsafe"
    -device virtio-blk-pci,drive=modules,serial=modules
  )
}

# True once the guest's process 1 has said that the job begins. Whatever happens after that is the job's.
has_started() { grep -q started "$1/rc" 2>/dev/null; }

# Runs "${qemu[@]}" with its output on ours, for at most $1 seconds, in scratch folder $2, and leaves qemu_status set.
# With $3, the job must begin within so many seconds.
# QEMU is ended by its own pid when we are ended, and by the kernel (pdeathsig) when we are killed. `out` is a FIFO: a chardev on our own standard output blocks the guest when that is closed.
qemu_run() {
  mkfifo "$2/out"
  cat < "$2/out" &
  local cat_pid=$!
  exec 9> "$2/out"
  setpriv --pdeathsig TERM timeout -k 5 "$1" "${qemu[@]}" < /dev/null 9>&- &
  qemu_pid=$!
  trap 'kill "$qemu_pid" 2>/dev/null; exit 130' INT TERM HUP
  if [ -n "${3:-}" ]; then
    local until=$((SECONDS + $3))
    while kill -0 "$qemu_pid" 2>/dev/null && ! has_started "$2"; do
      [ "$SECONDS" -lt "$until" ] || { kill "$qemu_pid" 2>/dev/null; break; }
      sleep 0.1
    done
  fi
  qemu_status=0
  wait "$qemu_pid" || qemu_status=$?
  trap - INT TERM HUP
  exec 9>&-
  wait "$cat_pid"
  rm -f "$2/out"
}

# Ends with the guest's exit status, or 124 after a time-out, or 126 when the guest ended without one.
exit_as_guest() {
  if [ "$qemu_status" = 124 ] || [ "$qemu_status" = 137 ]; then
    say "the guest was ended after $1 s; the end of its console:"
    tail -c 2000 "$2/console" >&2
    exit 124
  fi
  local status
  status=$(tr -dc 0-9 < "$2/rc")
  [ -z "$status" ] || exit "$status"
  say "the guest ended without a status (QEMU's: $qemu_status); the end of its console:"
  tail -c 4000 "$2/console" >&2
  exit 126
}
