"""What the benches share: fio's runs, what processes have used, and tables in Markdown."""

import json
import os
import resource
import subprocess
import sys


def target_options(where, kind):
    """fio's options for an NBD server's URI (`nbd`), a device or a file past the kernel's cache (`device`), or a file through it (`file`)."""
    if kind == "nbd":
        return ["--ioengine=nbd", f"--uri={where}", "--thread"]
    return [f"--filename={where}", *(["--ioengine=libaio", "--direct=1"] if kind == "device" else ["--ioengine=psync"])]


def run(work, name, options, limit, what):
    """fio's result of one job, or of the group of its clones. Ends the bench where fio fails."""
    command = ["fio", f"--name={name}", *options, "--randrepeat=0", "--output-format=json"]
    ended = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=limit)
    if ended.returncode != 0 or "{" not in ended.stdout:
        sys.exit(f"fio failed on {what} ({name}): {ended.stderr or ended.stdout}")
    # fio may say words before its JSON
    result = json.loads(ended.stdout[ended.stdout.index("{") :])["jobs"][0]
    if result["error"]:
        sys.exit(f"{what} gave error {result['error']} in {name}")
    return result


def write_and_flush_us(result, what):
    """The medians of the write and of the flush after it, together in µs."""
    write, sync = result["write"]["clat_ns"], result["sync"]["lat_ns"]
    if sync["N"] == 0:
        sys.exit(f"{what}: fio sent no flush")
    return (write["percentile"]["50.000000"] + sync["percentile"]["50.000000"]) / 1000


def pid_of(work, name):
    """Of what tests/lib.sh started by this name."""
    with open(os.path.join(work, f"{name}.pid"), encoding="ascii") as file:
        return int(file.read())


def processor_seconds(pids):
    """What these processes have used, user and system."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def processor_seconds_of_children():
    """What the children that this process waited for have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def spelled(figure):
    if figure is None:
        return "–"
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"


def line(*cells):
    print("| " + " | ".join(cells) + " |")


def head(*cells):
    line(*cells)
    print("|" + "---|" * len(cells))
