#!/usr/bin/env python3
"""A program that takes more memory than there is, and looks whether it is given back what it put there.

hog.py MIB ROUNDS: in each round takes MIB of memory, writes into every page, reads every page twice, and gives all back. Prints a
line a round: `ROUND SECONDS`. Ends with 1 where a page holds anything else than what was written.
"""

import mmap
import random
import sys
import time

PAGE = 4096
PART = 1 << 20


def main() -> None:
    """See the head."""
    mib, rounds = int(sys.argv[1]), int(sys.argv[2])
    for number in range(rounds):
        began = time.monotonic()
        memory = mmap.mmap(-1, mib << 20)
        # a few bytes a page, each of them of one slice over the part: no other way is quick in Python
        stamps = [[random.Random(f"{number} {part} {byte}").randbytes(PART // PAGE) for byte in range(4)] for part in range(mib)]
        for part, bytes_of in enumerate(stamps):
            for byte, stamp in enumerate(bytes_of):
                memory[part * PART + byte : (part + 1) * PART : PAGE] = stamp
        for _ in range(2):
            for part, bytes_of in enumerate(stamps):
                for byte, stamp in enumerate(bytes_of):
                    if memory[part * PART + byte : (part + 1) * PART : PAGE] != stamp:
                        raise SystemExit(f"round {number}: pages of MiB {part} do not hold what was written")
        memory.close()
        print(number, f"{time.monotonic() - began:.1f}", flush=True)


main()
