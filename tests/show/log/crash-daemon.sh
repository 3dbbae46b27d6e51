#!/usr/bin/env bash
# claim: kill -9 of the daemon at 500 random moments under fio with verify and an fsync journal on log volumes: nothing flushed is lost
# timeout: 4800
rounds=500 layout=log journal=("[journal]" 'size = "64M"')
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/crash.sh"
need mkfs.ext4 e2fsck fio jq
need_loop

crash_daemon
