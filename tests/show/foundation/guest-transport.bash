# shellcheck shell=bash
# The claims guest-ublk and guest-nbd: the guest's end-to-end tests of the daemon, with one transport, on every kernel.

# show_transport TRANSPORT
show_transport() {
  local transport=$1 kernel test modules folder told figure figures=()
  for kernel in 6.12 7.2; do
    told=
    for test in daemon-files daemon-death daemon-lvm daemon-boots; do
      say "$kernel, $test"
      folder=$WORK/$kernel-$test
      mkdir -p "$folder"
      modules=$(sed -n 's/^# modules: //p' "$RESTBLK_ROOT/tests/e2e/guest/$test.sh")
      if grep -q '^# runs: on the host' "$RESTBLK_ROOT/tests/e2e/guest/$test.sh"; then
        WORK=$folder KERNEL=$kernel TRANSPORTS=$transport bash "$RESTBLK_ROOT/tests/e2e/guest/$test.sh"
      else
        in_guest "$kernel" -t 900 -M "$modules" -e TRANSPORTS="$transport" -e KINDS="ext4 xfs btrfs" -e FIO_MIB=8 -e DEATH_MIB=32 -e ENDS="kill kill stop" -- \
          bash "$RESTBLK_ROOT/tests/e2e/guest/$test.sh"
      fi > "$folder/output" 2>&1 || fail "$kernel, $test: $(grep -a -A 20 FAILED "$folder/output" || tail -n 40 "$folder/output")"
      grep -a '^vm: ' "$folder/output" || true
      figure=$(sed -n "s/^figure: $transport: //p" "$folder/output")
      [ -n "$figure" ] || fail "$kernel, $test: no figure in $folder/output"
      say "$figure"
      told+="; $figure"
    done
    figures+=("Linux $kernel: ${told#; }")
  done
  figure "${figures[0]}. ${figures[1]}"
}
