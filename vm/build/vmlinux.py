"""Cuts the compressed vmlinux out of a bzImage: vmlinux.py BZIMAGE VMLINUX

The offsets are those of the x86 boot protocol (2.08 and later), not a search for magic bytes. QEMU enters a
vmlinux by PVH at once; a bzImage would unpack itself with emulated instructions, which takes most of a minute.
"""
import struct
import subprocess
import sys

DECOMPRESSORS = {
    b"\x28\xb5\x2f\xfd": ["zstd", "-dcq"],
    b"\xfd7zX": ["xz", "-dcq"],
    b"\x1f\x8b": ["gzip", "-dcq"],
}

image = open(sys.argv[1], "rb").read()
if image[0x202:0x206] != b"HdrS":
    sys.exit(f"{sys.argv[1]} is not a bzImage")
setup_sectors = image[0x1F1] or 4
offset, length = struct.unpack_from("<II", image, 0x248)
start = (setup_sectors + 1) * 512 + offset
payload = image[start : start + length - 4]  # the last 4 bytes hold the unpacked size
(size,) = struct.unpack_from("<I", image, start + length - 4)
for magic, command in DECOMPRESSORS.items():
    if payload.startswith(magic):
        vmlinux = subprocess.run(command, input=payload, stdout=subprocess.PIPE, check=True).stdout
        break
else:
    sys.exit(f"{sys.argv[1]}: no decompressor for a payload that begins with {payload[:4].hex()}")
if len(vmlinux) != size or not vmlinux.startswith(b"\x7fELF"):
    sys.exit(f"{sys.argv[1]}: unpacked to {len(vmlinux)} bytes where {size} were announced")
open(sys.argv[2], "wb").write(vmlinux)
