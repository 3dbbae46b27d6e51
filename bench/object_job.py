"""One job on one target of bench/object-peers.sh: prints a line, and appends all that was measured to a file of JSON lines.

What the target does after the job (writing back, compaction, garbage collection) is waited for and counted in: requests and bytes, processor
time, the most memory. Starts nothing that outlives it.
"""

import argparse
import json
import os
import sys
import time
import urllib.request

import fio
import object_jobs

# The store is at rest when so many seconds pass with hardly a byte; waited for this long.
REST_S, REST_BYTES, REST_MAX_S = 2, 64 << 10, 60


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("work", "results", "target", "job", "where", "store"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--bucket", help="of the target; without it, it uses no store")
    parser.add_argument("--kind", required=True, help="what `where` is, for fio.target_options")
    parser.add_argument("--processes", type=str.split, default=[], help="that work for it, by tests/lib.sh's names")
    for name in ("delay", "size-mib", "seconds"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return parser.parse_args()


def counts(options):
    """Requests, bytes received and bytes sent by the store so far for this target."""
    if not options.bucket:
        return {"requests": 0, "received": 0, "sent": 0}
    with urllib.request.urlopen(f"{options.store}/-/{options.bucket}", timeout=30) as answer:
        kinds = json.load(answer).values()
    return {name: sum(kind[name] for kind in kinds) for name in ("requests", "received", "sent")}


def rest(options):
    """Waits until the target leaves the store alone; returns how long it did not."""
    began = busy_until = time.monotonic()
    seen = counts(options)
    while options.bucket and time.monotonic() - busy_until < REST_S and time.monotonic() - began < REST_MAX_S:
        time.sleep(0.1)
        now = counts(options)
        if sum(now[way] - seen[way] for way in ("received", "sent")) > REST_BYTES:
            seen, busy_until = now, time.monotonic()
    return busy_until - began


def most_memory(pids, again=False):
    """The most that these processes had resident, in MiB, since it was last begun `again`."""
    total = 0
    for pid in pids:
        if again:
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
                file.write("5")
        with open(f"/proc/{pid}/status", encoding="utf-8") as status:
            total += next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    return total


def main():
    options = arguments()
    job = object_jobs.JOBS[options.job]
    pids = [fio.pid_of(options.work, name) for name in options.processes]
    rest(options)
    most_memory(pids, again=True)
    before, used_before = counts(options), fio.processor_seconds(pids)
    flags = [*fio.target_options(options.where, job.kind or options.kind), *object_jobs.options(job, options.size_mib, options.seconds)]
    result = fio.run(options.work, options.job, flags, options.seconds * 20 + 120, options.target)
    rested = rest(options)
    after, side = counts(options), result[job.side]
    figure = side["bw_bytes"] / 1e6 if job.unit == "MB/s" else side["iops"]
    found = {
        "target": options.target,
        "job": options.job,
        "delay": options.delay,
        "figure": figure,
        "moved": side["io_bytes"],
        "store": {name: after[name] - before[name] for name in after},
        "processor_s": fio.processor_seconds(pids) - used_before,
        "memory_mib": most_memory(pids),
        "rested_s": round(rested, 1),
    }
    said = f"{options.delay:3} ms {options.job:<13}{options.target:<9}{figure:9.1f} {job.unit}"
    if result["sync"]["lat_ns"].get("N", 0) > 1:
        found["p50_us"] = fio.write_and_flush_us(result, options.target)
        said += f", p50 {found['p50_us']:.0f} µs"
    with open(options.results, "a", encoding="utf-8") as file:
        print(json.dumps(found), file=file)
    gib = found["moved"] / 2**30 or sys.exit(f"{options.target} moved nothing in {options.job}")
    per_gib = f"per GiB: {found['store']['requests'] / gib:.0f} requests, {found['store']['received'] / 2**30 / gib:.2f} GiB put"
    print(f"{said}; {per_gib}, {found['processor_s'] / gib:.1f} s; {found['memory_mib']:.0f} MiB; at rest after {rested:.1f} s", flush=True)


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    main()
