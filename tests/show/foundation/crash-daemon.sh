#!/usr/bin/env bash
# claim: kill -9 of the daemon at 200 random moments under fio with verify and an fsync journal: nothing flushed is lost
# timeout: 2400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/crash.sh"
need mkfs.ext4 e2fsck fio jq
need_loop

crash_daemon
