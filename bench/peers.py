"""The jobs and the table of bench/peers.sh, which starts the targets.

Owns what is measured and how it is printed. One figure of one target is the median of its rounds; within a round a job
runs on every target before the next job begins, and every other round goes through the targets backwards, so that other
load on the machine falls on all alike. Starts nothing that outlives it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

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
# name: (heading, whether it is a block device, whether it can write)
TARGETS = {
    "nbd": ("restblk, NBD", False, True),
    "curl": ("nbdkit curl", False, False),
    "file": ("nbdkit file", False, True),
    "loop": ("restblk, loop", True, True),
    "plain": ("plain loop", True, True),
}
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


def run_fio(options, job, target):
    """One job on one target: IOPS, MB/s (10^6 bytes), or the sum of the medians of write and flush in µs."""
    _, flags, unit, side = JOBS[job]
    is_device = TARGETS[target][1]
    where = getattr(options, target)
    engine = ["--ioengine=libaio", "--direct=1", f"--filename={where}"] if is_device else ["--ioengine=nbd", f"--uri={where}"]
    command = ["fio", f"--name={job}", *engine, *flags.split(), f"--size={options.size_mib}m", "--time_based"]
    command += [f"--runtime={options.seconds}", "--ramp_time=1", "--randrepeat=0", "--output-format=json"]
    ended = subprocess.run(command, cwd=options.work, capture_output=True, text=True, timeout=options.seconds * 6 + 60)
    if ended.returncode != 0 or "{" not in ended.stdout:
        sys.exit(f"fio failed on {target} ({job}): {ended.stderr or ended.stdout}")
    # fio may say words before its JSON
    result = json.loads(ended.stdout[ended.stdout.index("{") :])["jobs"][0]
    if result["error"]:
        sys.exit(f"{target} gave error {result['error']} in {job}")
    if unit == "µs":
        write, sync = result["write"]["clat_ns"], result["sync"]["lat_ns"]
        if sync["N"] == 0:
            sys.exit(f"{target}: fio sent no flush")
        return (write["percentile"]["50.000000"] + sync["percentile"]["50.000000"]) / 1000
    return result[side]["iops"] if unit == "IOPS" else result[side]["bw_bytes"] / 1e6


def run_curl(options, connections):
    """MB/s of one curl process that reads the file over and over by ranged GETs of 1 MiB, over so many connections."""
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
    began = time.monotonic()
    while time.monotonic() - began < options.seconds:
        # its progress goes to standard error, and is wanted only when it failed
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode != 0:
            sys.exit(f"curl failed with status {ended.returncode}: {ended.stderr[-500:]}")
        moved += requests << 20
    return moved / (time.monotonic() - began) / 1e6


def measure(options):
    """All figures: (job, target) to the list of the rounds' results."""
    found = {}
    for turn in range(options.rounds):
        order = list(TARGETS) if turn % 2 == 0 else list(reversed(TARGETS))
        for job in options.jobs:
            for target in order:
                if target not in options.only or (JOBS[job][3] == "write" and not TARGETS[target][2]):
                    continue
                figure = run_fio(options, job, target)
                found.setdefault((job, target), []).append(figure)
                print(f"round {turn + 1}: {job:<12} {target:<6} {figure:10.1f} {JOBS[job][2]}", file=sys.stderr, flush=True)
            if job == "read":
                for connections in dict.fromkeys((1, SEQUENTIAL_DEPTH)):
                    figure = run_curl(options, connections)
                    found.setdefault((job, f"GET {connections}"), []).append(figure)
                    print(f"round {turn + 1}: curl, {connections} connections {figure:10.1f} MB/s", file=sys.stderr, flush=True)
    return found


def spelled(figure):
    if figure is None:
        return "–"
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.1f}"


def spread(found):
    """The largest distance between two rounds of one figure, as a part of its median."""
    return max((max(rounds) - min(rounds)) / statistics.median(rounds) for rounds in found.values())


def table(options, found):
    median = {key: statistics.median(rounds) for key, rounds in found.items()}
    heads = ["job", "unit", *(heading for heading, _, _ in TARGETS.values())]
    heads += [f"{TARGETS[ours][0].removeprefix('restblk, ')} ÷ {TARGETS[theirs][0]}" for ours, theirs in RATIOS]
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for job in options.jobs:
        row = [JOBS[job][0], JOBS[job][2], *(spelled(median.get((job, target))) for target in TARGETS)]
        for ours, theirs in RATIOS:
            both = (median.get((job, ours)), median.get((job, theirs)))
            row.append(f"{both[0] / both[1]:.2f}" if None not in both else "–")
        print("| " + " | ".join(row) + " |")
    print("\nHigher is better, but for the flush, which is a latency (a ratio below 1 is faster than the peer).\n")
    if ("read", f"GET {SEQUENTIAL_DEPTH}") in median:
        print("| curl, ranged GETs of 1 MiB | MB/s | NBD ÷ curl | loop ÷ curl |\n|---|---|---|---|")
        for connections in dict.fromkeys((1, SEQUENTIAL_DEPTH)):
            theirs = median[("read", f"GET {connections}")]
            ratios = [f"{median[('read', ours)] / theirs:.2f}" if ("read", ours) in median else "–" for ours in ("nbd", "loop")]
            # at depth 8 restblk has 8 requests of 1 MiB in flight: only those connections are comparable
            ratios = ratios if connections == SEQUENTIAL_DEPTH else ["(not alike)"] * 2
            print(f"| {connections} connections | {theirs:.0f} | " + " | ".join(ratios) + " |")


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
