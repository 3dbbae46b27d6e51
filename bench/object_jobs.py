"""The jobs of bench/object-peers.sh, by name: what they say, fio's options, the unit, the side of fio's result.

Every job but those of depth 1 has four clients with a quarter of the volume each, and so four NBD connections: ZeroFS takes the requests
of one connection in turn.
"""

from typing import NamedTuple

CLIENTS = 4


class Job(NamedTuple):
    text: str
    options: str
    unit: str
    side: str
    # Of the volume, a part: 1 / window
    window: int = 1
    clients: int = CLIENTS
    # Until all is done, at most so many times the bench's seconds; otherwise for the bench's seconds
    whole: int = 0
    # For `fio.target_options`, where the job and not the target says it
    kind: str | None = None


JOBS = {
    "write": Job("1 MiB sequential write, depth 8", "--rw=write --bs=1m --iodepth=2 --end_fsync=1", "MB/s", "write", whole=12),
    "read": Job("1 MiB sequential read, cold, depth 8", "--rw=read --bs=1m --iodepth=2", "MB/s", "read", window=2, whole=2),
    "randread": Job("4 KiB random read, cold, depth 32", "--rw=randread --bs=4k --iodepth=8", "IOPS", "read", window=4, whole=2),
    "randwrite": Job("4 KiB random write, depth 32", "--rw=randwrite --bs=4k --iodepth=8 --norandommap --end_fsync=1", "IOPS", "write"),
    "flush": Job("4 KiB write + flush, depth 1", "--rw=randwrite --bs=4k --iodepth=1 --norandommap --fsync=1", "IOPS", "write", clients=1),
}
# what a flush to the journal costs without restblk: a record is at its end, and one fdatasync makes it last
JOBS["commit"] = Job("4 KiB appended + fdatasync", "--rw=write --bs=4k --fdatasync=1", "IOPS", "write", clients=1, kind="file")
# the same of restblk with `--durability remote`; its peers have one way to flush
JOBS["flush-remote"] = JOBS["flush"]._replace(text="the same, on the store (remote)")


def options(job, size_mib, seconds):
    """fio's options for a volume of this size."""
    each = size_mib // job.window // job.clients
    spread = [f"--numjobs={job.clients}", "--group_reporting", f"--offset_increment={size_mib // job.clients}m", f"--size={each}m"]
    time = [f"--runtime={job.whole * seconds}"] if job.whole else ["--time_based", f"--runtime={seconds}"]
    return [*job.options.split(), *spread, *time]
