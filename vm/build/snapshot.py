"""Waits for a guest to be ready, saves its state and ends it: snapshot.py FOLDER STATE

FOLDER has QEMU's control socket `qmp` and the file `rc`, into which the guest writes `ready`.
"""
import json
import os
import socket
import sys
import time

folder, state = sys.argv[1:]
deadline = time.monotonic() + 100
while not (os.path.exists(f"{folder}/rc") and "ready" in open(f"{folder}/rc").read()):
    if time.monotonic() > deadline:
        sys.exit("the guest was not ready in 100 s")
    time.sleep(0.1)
time.sleep(1)  # so that the guest is idle, and what it loaded has settled

control = socket.socket(socket.AF_UNIX)
control.connect(f"{folder}/qmp")
lines = control.makefile("rw")


def call(name, **arguments):
    lines.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
    lines.flush()
    while True:
        answer = json.loads(lines.readline())
        if "error" in answer:
            sys.exit(f"{name}: {answer['error']['desc']}")
        if "return" in answer:
            return answer["return"]


lines.readline()
call("qmp_capabilities")
call("migrate-set-parameters", **{"max-bandwidth": 10**10})
call("migrate", uri=f"exec:cat > {state}")
while (status := call("query-migrate")).get("status") not in ("completed", "failed"):
    time.sleep(0.1)
call("quit")
if status["status"] == "failed":
    sys.exit(f"migration failed: {status.get('error-desc')}")
