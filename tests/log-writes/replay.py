#!/usr/bin/env python3
"""Replays a log of dm-log-writes, and finds how much of one a device has.

replay.py points LOG                        the moments at which something was made durable: `COUNT flush`, `COUNT mark TEXT`, `COUNT end`
replay.py apply LOG DEVICE FROM TO DONE     syncs, and does the entries FROM <= n < TO to the device, each after the one before it was answered
      [AT MS PID]                           and kills the process PID MS milliseconds after entry AT was answered, while it goes on
replay.py found LOG DEVICE FROM TO          the COUNT of FROM..TO for which the device is what the log's first COUNT entries make of
                                            zeros, byte for byte; ends with 1 where there is none

A moment is named by the number of entries before it. The log, as the kernel's drivers/md/dm-log-writes.c tells it (all little-endian):

    sector 0       u64 magic, u64 version, u64 entries, u32 bytes of a sector
    each entry     one sector: u64 sector, u64 sectors, u64 flags, u64 length of a mark, the mark; then the data, if it has any

Writes are in it once a flush that began after their end has ended, then that flush; FUA at its end: what is before a flush or a
FUA was durable when it was answered. DONE is a file that survives the process: u64 entries answered, u64 of them that a sync covers.
`apply` syncs where the log has a flush or FUA. An entry that had no answer yet may be done again by a device that comes back, later
than those after it that were lost: `found` takes this of entry TO - 1.
"""

import fcntl
import mmap
import os
import signal
import struct
import sys
import threading
from typing import Iterator, NamedTuple

MAGIC, VERSION = 0x6A736677736872, 1
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
BLKDISCARD, BLKGETSIZE64 = 0x1277, 0x80081272
BLOCK = 4096
PART = 1 << 20


class Entry(NamedTuple):
    """One entry; `at` and `length` are the bytes of the device, `data` the place of what was written in the log, or None."""

    flags: int
    at: int
    length: int
    data: int | None
    mark: str


class Log:
    """The entries of a log."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        magic, version, self.count, self.sector = struct.unpack_from("<QQQI", self.bytes)
        if (magic, version) != (MAGIC, VERSION):
            raise SystemExit(f"{path} is no log of dm-log-writes: magic {magic:x}, version {version}")
        if self.sector % BLOCK:
            raise SystemExit(f"{path} has sectors of {self.sector} bytes; the device under it must have blocks of {BLOCK}")
        self.entries = list(self._read())

    def _read(self) -> Iterator[Entry]:
        place = self.sector
        for _ in range(self.count):
            sector, sectors, flags, length = struct.unpack_from("<4Q", self.bytes, place)
            mark = self.bytes[place + 32 : place + 32 + length].decode() if flags & MARK else ""
            place += self.sector
            data = place if sectors and not flags & DISCARD else None
            yield Entry(flags, sector * self.sector, sectors * self.sector, data, mark)
            if data is not None:
                place += sectors * self.sector

    def bytes_of(self, entry: Entry) -> memoryview | bytes:
        """What the device has there after the entry."""
        if entry.data is None:
            return bytes(entry.length)
        return memoryview(self.bytes)[entry.data : entry.data + entry.length]


def points(log: Log) -> None:
    """Prints the moments."""
    for number, entry in enumerate(log.entries):
        if entry.flags & MARK:
            print(number + 1, "mark", entry.mark)
        elif entry.flags & (FLUSH | FUA):
            print(number + 1, "flush")
    print(log.count, "end")


def apply(log: Log, device: str, first: int, end: int, done: str, kill: tuple[int, float, int] | None) -> None:
    """Does entries to the device, tells in `done` how far it is, and kills a process in the midst of it."""
    with open(done, "w+b") as file:
        file.truncate(16)
        told = mmap.mmap(file.fileno(), 16)
    target = os.open(device, os.O_RDWR | os.O_DIRECT)
    # What came back of an earlier life is in the device's journal perhaps, and that may be lost the next time.
    os.fsync(target)
    synced = first
    struct.pack_into("<QQ", told, 0, first, synced)
    for number in range(first, end):
        entry = log.entries[number]
        if entry.data is not None:
            data = log.bytes_of(entry)
            if os.pwrite(target, data, entry.at) != entry.length:
                raise SystemExit(f"entry {number} was written in part")
        elif entry.flags & DISCARD:
            fcntl.ioctl(target, BLKDISCARD, struct.pack("<QQ", entry.at, entry.length))
        if entry.flags & (FLUSH | FUA):
            os.fsync(target)
            synced = number + 1
        struct.pack_into("<QQ", told, 0, number + 1, synced)
        if kill and number == kill[0]:
            threading.Timer(kill[1] / 1000, os.kill, (kill[2], signal.SIGKILL)).start()


def read(device: str) -> mmap.mmap:
    """All bytes of the device, past the page cache."""
    target = os.open(device, os.O_RDONLY | os.O_DIRECT)
    size = struct.unpack("<Q", fcntl.ioctl(target, BLKGETSIZE64, bytes(8)))[0]
    image = mmap.mmap(-1, size)
    view = memoryview(image)
    for at in range(0, size, PART):
        part = view[at : at + PART]
        if os.preadv(target, [part], at) != len(part):
            raise SystemExit(f"{device} ends before byte {at + len(part)}")
    return image


def found(log: Log, device: str, first: int, end: int) -> None:
    """Finds how many entries the device has."""
    here = memoryview(read(device))
    image = bytearray(len(here))
    wanted = memoryview(image)

    def do(entry: Entry) -> None:
        if entry.length:
            wanted[entry.at : entry.at + entry.length] = log.bytes_of(entry)

    def differing(at: int, length: int) -> set[int]:
        if here[at : at + length] == wanted[at : at + length]:
            return set()
        return {block for block in range(at, at + length, BLOCK) if here[block : block + BLOCK] != wanted[block : block + BLOCK]}

    for entry in log.entries[:first]:
        do(entry)
    again: set[int] = set()
    if end > first:
        last = log.entries[end - 1]
        data = log.bytes_of(last)
        again = {last.at + at for at in range(0, last.length, BLOCK) if here[last.at + at : last.at + at + BLOCK] == data[at : at + BLOCK]}
    differ: set[int] = set()
    for at in range(0, len(here), PART):
        differ |= differing(at, min(PART, len(here) - at))
    told = sorted(differ)
    for count in range(first, end + 1):
        if differ <= again:
            print(count)
            return
        if count < end:
            entry = log.entries[count]
            do(entry)
            differ -= set(range(entry.at, entry.at + entry.length, BLOCK))
            differ |= differing(entry.at, entry.length)
    raise SystemExit(
        f"{device} is not what any of the log's first {first} to {end} entries make: {len(told)} blocks differ from {first},"
        f" {len(differ)} from {end}, among them {', '.join(str(at // BLOCK) for at in sorted(differ)[:8])}"
    )


def main() -> None:
    """See the head."""
    what, log, *rest = sys.argv[1:]
    if what == "points":
        points(Log(log))
    elif what == "apply":
        device, first, end, done, *kill = rest
        apply(Log(log), device, int(first), int(end), done, (int(kill[0]), float(kill[1]), int(kill[2])) if kill else None)
    elif what == "found":
        device, first, end = rest
        found(Log(log), device, int(first), int(end))
    else:
        raise SystemExit(__doc__)


main()
