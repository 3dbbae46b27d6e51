#!/usr/bin/env python3
"""The longest time for which a block device had requests in hand and finished none.

stall.py NAME FILE: looks at /sys/block/NAME twice a second until it is ended, and keeps the longest stall in FILE, in ms. It keeps
itself in memory, so that it is not what it measures.
"""

import ctypes
import sys
import time

MCL_CURRENT, MCL_FUTURE = 1, 2


def main() -> None:
    """See the head."""
    name, told = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).mlockall(MCL_CURRENT | MCL_FUTURE):
        raise SystemExit("cannot lock this process' memory")
    # sysfs: `stat` has requests finished in its fields 1, 5, 12 and 16 (reads, writes, discards, flushes), `inflight` two numbers
    with open(f"/sys/block/{name}/stat", encoding="ascii") as stat, open(f"/sys/block/{name}/inflight", encoding="ascii") as inflight, open(
        told, "w", encoding="ascii"
    ) as longest_told:
        longest = 0.0
        finished, since = -1, time.monotonic()
        while True:
            stat.seek(0)
            inflight.seek(0)
            numbers = [int(word) for word in stat.read().split()]
            now, done = time.monotonic(), numbers[0] + numbers[4] + numbers[11] + numbers[15]
            if done != finished or not any(int(word) for word in inflight.read().split()):
                finished, since = done, now
            elif now - since > longest:
                longest = now - since
                longest_told.seek(0)
                longest_told.write(f"{longest * 1000:.0f}\n")
                longest_told.flush()
            time.sleep(0.5)


main()
