#!/usr/bin/env bash
# claim: in a guest, Cinder's driver gives a volume to its own host, to others by LIO and os-brick, and to others by os-brick's connector of restblk and a daemon of theirs; direct volumes have snapshots by LVM thin; a volume's device serves initiators over NVMe/TCP and iSCSI and holds LVM thin, through the daemon's death
# timeout: 5400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/show/foundation/guest-transport.bash"
told=
for transport in ublk nbd; do
  for test in cinder-export daemon-targets daemon-lvm; do
    say "$transport, $test"
    told+="; $transport: $(figure_in_guest 7.2 "$test" "$transport")"
  done
done
figure "Linux 7.2, ${told#; }"
