"""The tables of bench/object-peers.sh, and what they say of the aims: `object_report.py RESULTS [--hold]`.

Peers are compared with the NBD export, which they have too; the disk and the bare client, which no NBD client stands before, with the loop
device. With `--hold` it ends with 1 unless all aims are reached, at every delay that was measured, and names those that are not.
"""

import argparse
import json
import os
import platform
import sys
import time

import object_jobs
from fio import head, line, spelled

TARGETS = {"nbd": "restblk, NBD", "loop": "restblk, loop", "zerofs": "ZeroFS", "s3backer": "s3backer", "raw": "file on the disk", "bare": "bare client"}
JOBS = object_jobs.JOBS
# what a peer does for a job, where it is not the job of the same name
PEERS_JOB = {"flush-remote": "flush"}


def gib(found):
    return found["moved"] / 2**30


# what a job costs: heading, how much of what was measured
COSTS = {
    "requests per GiB": lambda found: found["store"]["requests"] / gib(found),
    "bytes put per byte": lambda found: found["store"]["received"] / found["moved"],
    "processor, s per GiB": lambda found: found["processor_s"] / gib(found),
    "memory, MiB at most": lambda found: found["memory_mib"],
}
READS, WRITES = ("read", "randread"), ("write", "randwrite", "flush")


class Run:
    """All that was measured, by target, job and delay."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as lines:
            every = [json.loads(text) for text in lines]
        self.found = {(one["target"], one["job"], one["delay"]): one for one in every}
        self.delays = sorted({one["delay"] for one in every})
        self.jobs = [job for job in JOBS if any(one["job"] == job for one in every)]
        self.targets = [target for target in TARGETS if any(one["target"] == target for one in every)]

    def get(self, target, job, delay, what=lambda found: found["figure"]):
        found = self.found.get((target, job, delay))
        return what(found) if found else None

    def ratio(self, ours, theirs, job, delay, what=lambda found: found["figure"], their_job=None):
        """Of our target's to the other's; None where one was not measured."""
        our, their = self.get(ours, job, delay, what), self.get(theirs, their_job or PEERS_JOB.get(job, job), delay, what)
        return our / their if our is not None and their else None


class Aim:
    """One aim: what is wanted, and the figure at each delay, with a word on where it comes from."""

    def __init__(self, text, figure, at_least=None, at_most=None, only_at=None):
        self.text, self.figure, self.at_least, self.at_most, self.only_at = text, figure, at_least, at_most, only_at

    def wanted(self):
        return f"≥ {self.at_least}" if self.at_least is not None else f"≤ {self.at_most}"

    def figures(self, run):
        """By delay, for the delays that count and were measured."""
        every = {delay: self.figure(run, delay) for delay in run.delays if self.only_at in (None, delay)}
        return {delay: figure for delay, figure in every.items() if figure[0] is not None}

    def holds(self, figure):
        return figure >= self.at_least if self.at_least is not None else figure <= self.at_most


def beside(ours, theirs, job, what=lambda found: found["figure"], their_job=None):
    return lambda run, delay: (run.ratio(ours, theirs, job, delay, what, their_job), "")


def worst(cost, jobs):
    """The worst ratio to ZeroFS of these jobs, and which job it is."""

    def figure(run, delay):
        every = [(run.ratio("nbd", "zerofs", job, delay, COSTS[cost]), job) for job in jobs]
        return max(((ratio, f" ({job})") for ratio, job in every if ratio is not None), default=(None, ""))

    return figure


def memory(run, delay):
    most = {target: max((run.get(target, job, delay, COSTS["memory, MiB at most"]) or 0 for job in run.jobs), default=0) for target in ("nbd", "zerofs")}
    return (most["nbd"] / most["zerofs"] if all(most.values()) else None, "")


def p50(found):
    return found["p50_us"]


AIMS = [
    Aim("4 KiB random write, depth 32 ÷ ZeroFS", beside("nbd", "zerofs", "randwrite"), at_least=5),
    Aim("4 KiB write + flush, depth 1, local ÷ ZeroFS", beside("nbd", "zerofs", "flush"), at_least=20),
    Aim("the same, remote, at 10 ms ÷ ZeroFS", beside("nbd", "zerofs", "flush-remote"), at_least=1.5, only_at=10),
    Aim("4 KiB random read, cold, depth 32 ÷ ZeroFS", beside("nbd", "zerofs", "randread"), at_least=2),
    Aim("1 MiB sequential write ÷ ZeroFS", beside("nbd", "zerofs", "write"), at_least=1.2),
    Aim("1 MiB sequential read, cold ÷ ZeroFS", beside("nbd", "zerofs", "read"), at_least=1.2),
    Aim("bytes put per byte written ÷ ZeroFS, worst job", worst("bytes put per byte", WRITES), at_most=1),
    Aim("requests per GiB ÷ ZeroFS, worst job", worst("requests per GiB", READS + WRITES), at_most=1),
    Aim("processor seconds per GiB ÷ ZeroFS, worst job", worst("processor, s per GiB", READS + WRITES), at_most=1),
    Aim("memory ÷ ZeroFS, the most of all jobs", memory, at_most=1),
    Aim("random write, loop ÷ fio on a file like the journal", beside("loop", "raw", "randwrite"), at_least=0.7),
    Aim("flush p50, loop ÷ an append + fdatasync on it", beside("loop", "raw", "flush", p50, "commit"), at_most=1.5),
    Aim("sequential write, loop ÷ bare client", beside("loop", "bare", "write"), at_least=0.85),
    Aim("sequential read, cold, loop ÷ bare client", beside("loop", "bare", "read"), at_least=0.85),
]


def figures(run):
    peers = [target for target in ("zerofs", "s3backer") if target in run.targets]
    for delay in run.delays:
        print(f"\n### {delay} ms\n")
        head("job", "unit", *(TARGETS[target] for target in run.targets), *(f"NBD ÷ {TARGETS[peer]}" for peer in peers))
        for job in run.jobs:
            every = [spelled(run.get(target, job, delay)) for target in run.targets]
            line(JOBS[job].text, JOBS[job].unit, *every, *(spelled(run.ratio("nbd", peer, job, delay)) for peer in peers))
            if any(run.get(target, job, delay, lambda found: found.get("p50_us")) for target in run.targets):
                every = [spelled(run.get(target, job, delay, lambda found: found.get("p50_us"))) for target in run.targets]
                line("its median", "µs", *every, *("" for _ in peers))
        print()
        stores = [target for target in run.targets if target not in ("raw", "bare")]
        head("job", "what it costs", *(TARGETS[target] for target in stores))
        for job in run.jobs:
            for name, cost in COSTS.items():
                every = [run.get(target, job, delay, cost) for target in stores]
                if any(figure is not None for figure in every) and (JOBS[job].side == "write" or name != "bytes put per byte"):
                    line(JOBS[job].text, name, *(spelled(figure) for figure in every))


def aims(run):
    """Prints the aims; returns those that are not reached, and how many were looked at."""
    print("\n### Aims\n")
    head("aim", "wanted", *(f"{delay} ms" for delay in run.delays), "reached")
    missed, looked_at = [], 0
    for aim in AIMS:
        found = aim.figures(run)
        if found:
            looked_at += 1
        not_held = [f"{spelled(figure)}{where} at {delay} ms" for delay, (figure, where) in found.items() if not aim.holds(figure)]
        if not_held:
            missed.append(f"{aim.text}: wanted {aim.wanted()}, found {', '.join(not_held)}")
        cells = [f"{spelled(found[delay][0])}{found[delay][1]}" if delay in found else "–" for delay in run.delays]
        line(aim.text, aim.wanted(), *cells, "not measured" if not found else "**no**" if not_held else "yes")
    return missed, looked_at


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("results")
    parser.add_argument("--size-mib", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--hold", action="store_true")
    options = parser.parse_args()
    run = Run(options.results)
    print(f"\n{time.strftime('%Y-%m-%d')}, Linux {platform.release()}, {os.cpu_count()} cores; {options.size_mib} MiB volumes, jobs of {options.seconds} s,", end=" ")
    print(f"{object_jobs.CLIENTS} clients; load of the machine at the end {os.getloadavg()[0]:.1f} (the bench's own included)")
    figures(run)
    missed, looked_at = aims(run)
    print()
    for text in missed:
        print(f"not reached: {text}")
    if options.hold:
        if looked_at < len(AIMS):
            sys.exit(f"{len(AIMS) - looked_at} aims were not measured")
        if missed:
            sys.exit(f"{len(missed)} of {len(AIMS)} aims are not reached")
        print(f"figure: all {len(AIMS)} aims are reached at delays of {', '.join(map(str, run.delays))} ms; " + said(run))


def said(run):
    """The ratios to ZeroFS at the middle delay, for one line."""
    delay = run.delays[len(run.delays) // 2]
    every = [(aim.text, aim.figures(run).get(delay)) for aim in AIMS[:6]]
    return f"at {delay} ms: " + ", ".join(f"{text} {spelled(found[0])}" for text, found in every if found)


if __name__ == "__main__":
    main()
