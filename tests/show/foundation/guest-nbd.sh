#!/usr/bin/env bash
# claim: by nbd on Linux 6.12 and 7.2, file systems, fio verify, LVM, kill -9, growing and a reboot under systemd lose nothing
# timeout: 4800
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/show/foundation/guest-transport.bash"
show_transport nbd
