#!/bin/bash
# test: Cinder's driver and os-brick in a guest: a volume as a device of the same host, by LIO's iSCSI target for another one, grown in use, by another host's own daemon, and with snapshots by LVM
# kernels: 7.2
# runs: on the host
# timeout: 3600
#
# The guest sees the host's virtual environment of OpenStack, and the Python that this is made with, where that is not the system's own.
. "$RESTBLK_ROOT/tests/lib.sh"

if [ -n "${RESTBLK_IN_GUEST:-}" ]; then
  . "$RESTBLK_ROOT/tests/e2e/guest/daemon.bash"
  initiator
  mkdir -p /etc/target /etc/rtslib-fb-target "$WORK/bin" "$WORK/locks"
  # root needs no sudo, and no filters of commands
  printf '#!/bin/sh\nshift 2\nexec "$@"\n' > "$WORK/bin/sudo"
  chmod +x "$WORK/bin/sudo"
  # Without udev LVM makes its nodes itself.
  mkdir -p /etc/lvm
  printf 'activation { udev_sync = 0\n udev_rules = 0\n monitoring = 0 }\n' > /etc/lvm/lvmlocal.conf
  export PATH=$WORK/bin:$VENV/bin:$PATH PYTHONDONTWRITEBYTECODE=1 TMPDIR=$WORK OSLO_LOCK_PATH=$WORK/locks
  cd "$RESTBLK_ROOT/cinder"
  for transport in $TRANSPORTS; do
    say "$transport"
    TRANSPORT=$transport python -m unittest -v $TESTS > "$WORK/$transport.log" 2>&1 || fail "the tests by $transport"
    grep -E '^Ran ' "$WORK/$transport.log"
  done
  figure "$TRANSPORTS: a volume by os-brick's local connector, and by LIO and os-brick's iSCSI connector for another host, grown in use and kept through a restart of the driver; and by os-brick's connector of restblk and a second daemon; snapshots of direct volumes by LVM thin"
  exit
fi

[ -z "${CI:-}" ] || skip "Python takes six minutes in an emulated machine: the claim cinder/guest runs it"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
install_openstack
venv=$OPENSTACK/venv
python=$("$venv/bin/python" -c 'import sys; print(sys.base_prefix)')
[ "$python" != /usr ] || skip "the guest's system has another Python than this one's"
in_guest "$KERNEL" -t 3300 -m 3072 -r "$python" -r "$venv" -M "target_core_iblock iscsi_target_mod iscsi_tcp sd_mod dm-thin-pool" \
  -e VENV="$venv" -e TRANSPORTS="${TRANSPORTS:-ublk}" -e TESTS="${TESTS:-tests.guest}" -- bash "$0"
