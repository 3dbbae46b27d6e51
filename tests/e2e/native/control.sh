#!/usr/bin/env bash
# The control files, by echo and cat: the whole walk of the driver of 2014, and its errors.
# timeout: 240
. "$RESTBLK_ROOT/tests/lib.sh"
need mkfs.ext4 python3
need_loop

mkdir -p "$WORK/store/walk"
start_store
start_daemon
wait_for 20 "the control files" test -e "$WORK/run/control/create"
BY_NAME=$WORK/dev/by-name "$RESTBLK_ROOT/tests/control/walk.sh" "$WORK/run/control" "$STORE_URL/cdmi/2.0.0/walk/"
