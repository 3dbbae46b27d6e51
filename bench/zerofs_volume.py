"""Makes the file .nbd/volume of a size on a ZeroFS server (the folder is there), which is a device of its NBD server: `zerofs_volume.py SOCKET BYTES`.

By 9P2000.L, which Linux mounts only where it was built with it, and so few messages that they are sent here.
"""

import socket
import struct
import sys

NO_FID = 0xFFFFFFFF
TAG = 1
ROOT, FOLDER, FILE = 0, 1, 2
RLERROR, TVERSION, TATTACH, TWALK, TLCREATE, TSETATTR, TCLUNK = 7, 100, 104, 110, 14, 26, 120
O_RDWR = 2
SETATTR_SIZE = 8


def text(value):
    return struct.pack("<H", len(value)) + value.encode()


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)

    def receive(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                sys.exit("the 9P server closed the connection")
            data += piece
        return data

    def ask(self, kind, body):
        self.socket.sendall(struct.pack("<IBH", len(body) + 7, kind, TAG) + body)
        length, answered, _ = struct.unpack("<IBH", self.receive(7))
        answer = self.receive(length - 7)
        if answered != kind + 1:
            why = f"errno {struct.unpack('<I', answer)[0]}" if answered == RLERROR else f"message {answered}"
            sys.exit(f"the 9P server answered message {kind} by {why}")


def main():
    path, size = sys.argv[1], int(sys.argv[2])
    client = Client(path)
    client.ask(TVERSION, struct.pack("<I", 65536) + text("9P2000.L"))
    client.ask(TATTACH, struct.pack("<II", ROOT, NO_FID) + text("root") + text("") + struct.pack("<I", 0))
    client.ask(TWALK, struct.pack("<IIH", ROOT, FOLDER, 1) + text(".nbd"))
    client.ask(TWALK, struct.pack("<IIH", FOLDER, FILE, 0))
    client.ask(TLCREATE, struct.pack("<I", FILE) + text("volume") + struct.pack("<III", O_RDWR, 0o644, 0))
    client.ask(TSETATTR, struct.pack("<IIIIIQQQQQ", FILE, SETATTR_SIZE, 0, 0, 0, size, 0, 0, 0, 0))
    client.ask(TCLUNK, struct.pack("<I", FILE))


if __name__ == "__main__":
    main()
