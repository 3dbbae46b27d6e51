"""The jobs and the table of bench/peers.sh, which starts the targets.

Owns what is measured and how it is printed. Made for machines that others use too: within a round a job runs on every
target before the next job begins, and every other round goes through the targets backwards, so that other load falls on
all alike. A figure is the median of its rounds; a ratio is the median of the rounds' own ratios, with the least and the
most beside it. Processor time (of the target's processes, the store and the client) depends least on others: it is
printed for every job. Starts nothing that outlives it.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time

import fio
from fio import head, line, spelled

# name: (what it says, fio's options, unit, the side of fio's result, whether it writes)
JOBS = {
    "randread-1": ("4 KiB random read, depth 1", "--rw=randread --bs=4k --iodepth=1", "IOPS", "read"),
    "randread-32": ("4 KiB random read, depth 32", "--rw=randread --bs=4k --iodepth=32", "IOPS", "read"),
    "randwrite-1": ("4 KiB random write, depth 1", "--rw=randwrite --bs=4k --iodepth=1", "IOPS", "write"),
    "randwrite-32": ("4 KiB random write, depth 32", "--rw=randwrite --bs=4k --iodepth=32", "IOPS", "write"),
    "read": ("1 MiB sequential read, depth 8", "--rw=read --bs=1m --iodepth=8", "MB/s", "read"),
    "write": ("1 MiB sequential write, depth 8", "--rw=write --bs=1m --iodepth=8", "MB/s", "write"),
    "flush": ("4 KiB write + flush, depth 1, median", "--rw=randwrite --bs=4k --iodepth=1 --fsync=1", "µs", "write"),
}
SEQUENTIAL_DEPTH = 8
# name: (heading, what it is for fio, whether it can write, the processes that work for it by tests/lib.sh's names)
TARGETS = {
    "nbd": ("restblk, NBD", "nbd", True, ("daemon", "store")),
    "curl": ("nbdkit curl", "nbd", False, ("nbdkit-curl", "store")),
    "file": ("nbdkit file", "nbd", True, ("nbdkit-file",)),
    "loop": ("restblk, loop", "device", True, ("daemon", "store")),
    "plain": ("plain loop", "device", True, ()),
}
# an I/O of the flush job is its write; the flush is counted in
COST = {"IOPS": "µs/IO", "MB/s": "s/GiB", "µs": "µs/IO"}
RATIOS = [("nbd", "curl"), ("nbd", "file"), ("loop", "plain")]


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("work", "url", *TARGETS):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--size-mib", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(TARGETS))
    parser.add_argument("--jobs", type=lambda text: text.split(","), default=list(JOBS))
    return parser.parse_args()


def processor_seconds(options, names):
    """What these processes have used, and the children that this one waited for."""
    return fio.processor_seconds(fio.pid_of(options.work, name) for name in names) + fio.processor_seconds_of_children()


def run_fio(options, job, target):
    """One job on one target: IOPS, MB/s (10^6 bytes), or the sum of the medians of write and flush in µs; and the
    processor's seconds for each GiB, or its µs for each I/O."""
    _, flags, unit, side = JOBS[job]
    command = [*fio.target_options(getattr(options, target), TARGETS[target][1]), *flags.split(), f"--size={options.size_mib}m"]
    command += ["--time_based", f"--runtime={options.seconds}"]
    before = processor_seconds(options, TARGETS[target][3])
    result = fio.run(options.work, job, command, options.seconds * 6 + 60, target)
    used = processor_seconds(options, TARGETS[target][3]) - before
    moved, count = (sum(result[way][what] for way in ("read", "write")) for what in ("io_bytes", "total_ios"))
    cost = used / (moved / 2**30) if unit == "MB/s" else used / count * 1e6
    if unit == "µs":
        return fio.write_and_flush_us(result, target), cost
    return (result[side]["iops"] if unit == "IOPS" else result[side]["bw_bytes"] / 1e6), cost


def run_curl(options, connections):
    """One curl process that reads the file over and over by ranged GETs of 1 MiB, over so many connections: MB/s, and the
    processor's seconds for each GiB."""
    config = os.path.join(options.work, "curl.conf")
    requests = options.size_mib
    with open(config, "w", encoding="utf-8") as lines:
        for number in range(requests):
            lines.write(f'{"next" if number else ""}\nurl = "{options.url}"\noutput = "/dev/null"\n')
            lines.write(f'range = "{number << 20}-{((number + 1) << 20) - 1}"\nfail\n')
    command = ["curl", "-s", "--http1.1", "--config", config]
    if connections > 1:
        command += ["--parallel", "--parallel-max", str(connections), "--parallel-immediate"]
    moved = 0
    before = processor_seconds(options, ("store",))
    began = time.monotonic()
    while time.monotonic() - began < options.seconds:
        # its progress goes to standard error, and is wanted only when it failed
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode != 0:
            sys.exit(f"curl failed with status {ended.returncode}: {ended.stderr[-500:]}")
        moved += requests << 20
    took = time.monotonic() - began
    return moved / took / 1e6, (processor_seconds(options, ("store",)) - before) / (moved / 2**30)


def measure(options):
    """All figures: (job, target) to the list of the rounds' (figure, cost)."""
    found = {}
    for turn in range(options.rounds):
        order = list(TARGETS) if turn % 2 == 0 else list(reversed(TARGETS))
        for job in options.jobs:
            for target in order:
                if target not in options.only or (JOBS[job][3] == "write" and not TARGETS[target][2]):
                    continue
                figure, cost = run_fio(options, job, target)
                found.setdefault((job, target), []).append((figure, cost))
                print(f"round {turn + 1}: {job:<12} {target:<6} {figure:10.1f} {JOBS[job][2]:<4} {cost:8.2f} {COST[JOBS[job][2]]}", file=sys.stderr, flush=True)
            if job == "read":
                for connections in dict.fromkeys((1, SEQUENTIAL_DEPTH)):
                    figure, cost = run_curl(options, connections)
                    found.setdefault((job, f"GET {connections}"), []).append((figure, cost))
                    print(f"round {turn + 1}: curl, {connections} connections {figure:10.1f} MB/s {cost:8.2f} s/GiB", file=sys.stderr, flush=True)
    return found


def ratio(found, ours, theirs):
    """The median of the rounds' ratios, with the least and the most."""
    if ours not in found or theirs not in found:
        return "–"
    each = [our[0] / their[0] for our, their in zip(found[ours], found[theirs])]
    return f"{statistics.median(each):.2f} ({min(each):.2f}–{max(each):.2f})"


def spread(found):
    """The largest distance between two rounds of one figure, as a part of its median."""
    every = [[figure for figure, _ in rounds] for rounds in found.values()]
    return max((max(rounds) - min(rounds)) / statistics.median(rounds) for rounds in every)


def table(options, found):
    def median(job, target, which):
        rounds = found.get((job, target))
        return statistics.median(pair[which] for pair in rounds) if rounds else None

    short = {target: heading.removeprefix("restblk, ") for target, (heading, *_) in TARGETS.items()}
    headings = [heading for heading, *_ in TARGETS.values()]
    head("job", "unit", *headings, *(f"{short[ours]} ÷ {short[theirs]}" for ours, theirs in RATIOS))
    for job in options.jobs:
        figures = [spelled(median(job, target, 0)) for target in TARGETS]
        line(JOBS[job][0], JOBS[job][2], *figures, *(ratio(found, (job, ours), (job, theirs)) for ours, theirs in RATIOS))
    print("\nHigher is better, but for the flush, which is a latency (a ratio below 1 is faster than the peer).\n")
    head("processor time", "unit", *headings)
    for job in options.jobs:
        line(JOBS[job][0], COST[JOBS[job][2]], *(spelled(median(job, target, 1)) for target in TARGETS))
    print("\nOf the target's processes, the store and fio; what the kernel's own threads do for a loop device is not in it.\n")
    if ("read", f"GET {SEQUENTIAL_DEPTH}") in found:
        head("curl, ranged GETs of 1 MiB", "MB/s", "s/GiB", "NBD ÷ curl", "loop ÷ curl")
        for connections in dict.fromkeys((1, SEQUENTIAL_DEPTH)):
            name = f"GET {connections}"
            # at depth 8 restblk has 8 requests of 1 MiB in flight: only those connections are comparable
            alike = connections == SEQUENTIAL_DEPTH
            ratios = [ratio(found, ("read", ours), ("read", name)) if alike else "(not alike)" for ours in ("nbd", "loop")]
            line(f"{connections} connections", spelled(median("read", name, 0)), spelled(median("read", name, 1)), *ratios)


def main():
    options = arguments()
    load = os.getloadavg()[0]
    found = measure(options)
    print(f"\n{time.strftime('%Y-%m-%d')}, Linux {platform.release()}, {os.cpu_count()} cores; {options.size_mib} MiB volumes, ", end="")
    print(f"{options.connections} connections, {options.rounds} rounds of {options.seconds} s, medians; widest spread of a figure {spread(found):.0%};")
    print(f"load of the machine {load:.1f} before, {os.getloadavg()[0]:.1f} after (the bench's own included)\n")
    table(options, found)


if __name__ == "__main__":
    main()
