# shellcheck shell=bash
# Claims that run the guest's end-to-end tests of the daemon with one transport.

# figure_in_guest KERNEL TEST TRANSPORT: the figure of a test under tests/e2e/guest; what it printed is in $WORK/KERNEL-TRANSPORT-TEST/output.
figure_in_guest() {
  local kernel=$1 test=$2 transport=$3 script=$RESTBLK_ROOT/tests/e2e/guest/$2.sh folder=$WORK/$1-$3-$2 modules figure
  mkdir -p "$folder"
  modules=$(sed -n 's/^# modules: //p' "$script")
  if grep -q '^# runs: on the host' "$script"; then
    WORK=$folder KERNEL=$kernel TRANSPORTS=$transport bash "$script"
  else
    in_guest "$kernel" -t 900 -M "$modules" -e TRANSPORTS="$transport" -e KINDS="ext4 xfs btrfs" -e FIO_MIB=8 -e DEATH_MIB=32 -e ENDS="kill kill stop" -- \
      bash "$script"
  fi > "$folder/output" 2>&1 || fail "$kernel, $test: $(grep -a -A 20 FAILED "$folder/output" || tail -n 40 "$folder/output")"
  figure=$(sed -n "s/^figure: $transport: //p" "$folder/output")
  [ -n "$figure" ] || fail "$kernel, $test: no figure in $folder/output"
  echo "$figure"
}

# show_transport TRANSPORT: the claims guest-ublk and guest-nbd, on every kernel.
show_transport() {
  local transport=$1 kernel test told figure figures=()
  for kernel in 6.12 7.2; do
    told=
    for test in daemon-files daemon-death daemon-lvm daemon-boots; do
      say "$kernel, $test"
      figure=$(figure_in_guest "$kernel" "$test" "$transport")
      say "$figure"
      told+="; $figure"
    done
    figures+=("Linux $kernel: ${told#; }")
  done
  figure "${figures[0]}. ${figures[1]}"
}
