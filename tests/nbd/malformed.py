"""A client that misbehaves: thousands of spoilt handshakes and requests, by seed, against one export of an NBD server.

    malformed.py --unix SOCKET | --tcp HOST:PORT  --export NAME --size BYTES [--count N] [--seed N]

Four kinds of conversation, in turn:
- `requests`: a good handshake, then requests that are framed well and ask for anything: every one must be answered, once,
  with its own cookie, and with an error where it must not succeed;
- `options`: a good greeting, then options of any number with any data: every one must be answered under its own number;
- `spoilt`: all that a good client would say, with bits flipped, pieces lost, doubled, swapped, cut and strewn with noise;
- `noise`: bytes by chance.
Whatever is said, the server must close within TIMEOUT_S once the client has said its last word. Ends with 0 only if all
of that held; prints what was done as one line of JSON. Another seed makes other conversations, the same seed the same.
"""

import argparse
import collections
import json
import random
import socket
import struct
import sys
import threading

TIMEOUT_S = 60
AT_ONCE = 8
IHAVEOPT = 0x49484156454F5054
OPTION_REPLY = 0x0003E889045565A9
REQUEST = 0x25609513
SIMPLE = 0x67446698
STRUCTURED = 0x668E33EF
EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED_REPLY = 1, 2, 3, 5, 6, 7, 8
READ, WRITE, DISCONNECT, FLUSH, TRIM, CACHE, ZERO, STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO = 1, 2, 4, 8, 16
BLOCK = 512
LONGEST = 32 << 20
# what the protocol lets a server say
ERRNOS = {0, 1, 5, 12, 22, 28, 75, 95, 108}


class Wrong(Exception):
    """The server did what it must not."""


def option(number, data=b"", length=None):
    return struct.pack(">QII", IHAVEOPT, number, len(data) if length is None else length) + data


def info(name, wanted=()):
    name = name.encode()
    return struct.pack(">I", len(name)) + name + struct.pack(">H", len(wanted)) + b"".join(struct.pack(">H", w) for w in wanted)


def request(command, flags, cookie, offset, length, data=b""):
    return struct.pack(">IHHQQI", REQUEST, flags, command, cookie, offset, length) + data


class Line:
    """One connection."""

    def __init__(self, where):
        self.socket = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(where)

    def say(self, data):
        """True where the server still listened."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def hear(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise Wrong(f"hung up after {len(data)} of {count} bytes")
            data += piece
        return data

    def last_word(self):
        """Says no more, and waits for the server to close."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(1 << 20):
                pass
        except (ConnectionResetError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise Wrong(f"it did not close within {TIMEOUT_S} s") from error

    def close(self, rudely=False):
        if rudely:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def greet(self):
        if self.hear(18)[:16] != b"NBDMAGICIHAVEOPT":
            raise Wrong("no greeting")
        self.say(struct.pack(">I", 3))

    def replies(self, number):
        """The types of an option's replies, up to the last one."""
        kinds = []
        while not kinds or (kinds[-1] != 1 and not kinds[-1] >> 31):
            magic, of, kind, length = struct.unpack(">QIII", self.hear(20))
            if (magic, of) != (OPTION_REPLY, number) or length > 1 << 16:
                raise Wrong(f"option {number} was answered by {magic:#x}, option {of}, {length} bytes")
            self.hear(length)
            kinds.append(kind)
        return kinds


class Client:
    def __init__(self, options):
        self.where = options.unix or options.tcp
        self.export = options.export
        self.size = options.size
        self.counts = collections.Counter()
        self.lock = threading.Lock()

    def count(self, **what):
        with self.lock:
            self.counts.update(what)

    # --- requests that are framed well

    def number(self, dice, edges, most):
        """Near an edge, or anywhere."""
        if dice.random() < 0.6:
            return (dice.choice(edges) + dice.choice((0, 0, 0, 1, -1, BLOCK, -BLOCK))) % (most + 1)
        return dice.randrange(most + 1)

    def a_request(self, dice):
        """A request's fields, and whether it may succeed, must fail, or (None) is for the server to judge."""
        command = dice.choice((READ, READ, WRITE, WRITE, TRIM, ZERO, FLUSH, CACHE, STATUS, dice.randrange(1 << 16)))
        command = FLUSH if command == DISCONNECT else command
        flags = dice.choice((0, 0, FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, dice.randrange(1 << 16)))
        if dice.random() < 0.4:
            offset = dice.randrange(self.size // BLOCK) * BLOCK
            length = dice.randrange(1, 64) * BLOCK
        else:
            offset = self.number(dice, (0, self.size, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - BLOCK), (1 << 64) - 1)
            length = self.number(dice, (0, BLOCK, 4096, 65536, LONGEST, 1 << 31, (1 << 32) - BLOCK), (1 << 32) - 1)
        if command == WRITE:
            # its data follow, so they are bounded here; longer ones are in `spoilt`
            length = min(length, dice.randrange(200_000))
        known = {READ: FUA | DF, WRITE: FUA, TRIM: FUA, ZERO: FUA | NO_HOLE | FAST_ZERO, FLUSH: FUA}
        if command not in known or flags & ~known[command]:
            return command, flags, offset, length, False
        if command == FLUSH:
            return command, flags, offset, length, None
        fits = offset % BLOCK == 0 and length % BLOCK == 0 and offset + length <= self.size
        fits = fits and (command != READ or length <= LONGEST)
        return command, flags, offset, length, fits

    def requests(self, dice, line):
        line.greet()
        structured = dice.random() < 0.5
        if structured:
            line.say(option(STRUCTURED_REPLY))
            line.replies(STRUCTURED_REPLY)
        line.say(option(GO, info(self.export, [3])))
        if line.replies(GO)[-1] != 1:
            raise Wrong("a good handshake was refused")
        asked = {}
        out = b""
        for cookie in {dice.getrandbits(64) for _ in range(dice.randrange(1, 24))}:
            command, flags, offset, length, fits = self.a_request(dice)
            if flags & DF and not structured and command == READ:
                fits = False
            data = dice.randbytes(1) * length if command == WRITE else b""
            asked[cookie] = (command, flags, offset, length, fits)
            out += request(command, flags, cookie, offset, length, data)
        if dice.random() < 0.5:
            out += request(DISCONNECT, 0, 0, 0, 0)
        speaker = threading.Thread(target=lambda: line.say(out) and line.socket.shutdown(socket.SHUT_WR))
        speaker.start()
        refused = 0
        for _ in range(len(asked)):
            cookie, errno = self.answer(line, asked, structured)
            fields = asked.pop(cookie)
            if errno not in ERRNOS or (errno == 0) != fields[4] and fields[4] is not None:
                raise Wrong(f"request {fields} was answered with error {errno}")
            refused += errno != 0
            self.count(answered=1)
        speaker.join()
        line.last_word()
        self.count(refused=refused)

    def answer(self, line, asked, structured):
        """One reply: the cookie and the error."""
        (magic,) = struct.unpack(">I", line.hear(4))
        if magic == SIMPLE:
            errno, cookie = struct.unpack(">IQ", line.hear(12))
            self.is_known(cookie, asked)
            if errno == 0 and asked[cookie][0] == READ:
                if structured:
                    raise Wrong("a read was answered with a simple reply")
                line.hear(asked[cookie][3])
            return cookie, errno
        if magic != STRUCTURED or not structured:
            raise Wrong(f"a reply begins with {magic:#x}")
        flags, kind, cookie, length = struct.unpack(">HHQI", line.hear(16))
        self.is_known(cookie, asked)
        if flags != 1 or length > LONGEST + 8:
            raise Wrong(f"a chunk with flags {flags} and {length} bytes")
        payload = line.hear(length)
        if kind == 1:
            if struct.unpack(">Q", payload[:8])[0] != asked[cookie][2] or length - 8 != asked[cookie][3]:
                raise Wrong("the data of another place")
            return cookie, 0
        return cookie, struct.unpack(">I", payload[:4])[0] if kind >> 15 else 0

    def is_known(self, cookie, asked):
        if cookie not in asked:
            raise Wrong(f"an answer to a request that was not asked ({cookie:#x})")

    # --- options that are framed well

    def options(self, dice, line):
        line.greet()
        for _ in range(dice.randrange(1, 12)):
            number = dice.choice((LIST, STARTTLS, INFO, GO, STRUCTURED_REPLY, 4, 9, 10, 11, dice.randrange(1 << 32)))
            if number in (EXPORT_NAME, ABORT):
                continue
            good = info(dice.choice((self.export, "", "none", "é" * dice.randrange(2000))), [dice.randrange(6)])
            data = dice.choice((b"", good, good[: dice.randrange(len(good))], dice.randbytes(dice.randrange(20_000))))
            # that one must be refused or end the options
            line.say(option(number, data))
            kinds = line.replies(number)
            self.count(options=1)
            if number == GO and kinds[-1] == 1:
                line.say(request(DISCONNECT, 0, 0, 0, 0))
                break
        line.last_word()

    # --- the rest

    def good(self, dice):
        """What a good client might say, in pieces."""
        pieces = [struct.pack(">I", dice.randrange(4))]
        for _ in range(dice.randrange(5)):
            pieces.append(option(dice.choice((LIST, STRUCTURED_REPLY, INFO, 10, 11)), dice.choice((b"", info(self.export, [0, 1, 2, 3])))))
        pieces.append(option(GO, info(self.export)) if dice.random() < 0.8 else option(EXPORT_NAME, self.export.encode()))
        for cookie in range(dice.randrange(12)):
            command, flags, offset, length, _ = self.a_request(dice)
            length = dice.randrange(40) * BLOCK if dice.random() < 0.8 else length
            pieces.append(request(command, flags, cookie, offset, length, dice.randbytes(1) * min(length, 65536) if command == WRITE else b""))
        pieces.append(request(DISCONNECT, 0, 0, 0, 0))
        return pieces

    def spoilt(self, dice, line):
        pieces = self.good(dice)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(pieces))
            piece = pieces[at]
            what = dice.randrange(9)
            if what == 0:
                del pieces[at]
            elif what == 1:
                pieces.insert(at, piece)
            elif what == 2:
                other = dice.randrange(len(pieces))
                pieces[at], pieces[other] = pieces[other], piece
            elif what == 3:
                pieces[at] = piece[: dice.randrange(len(piece) + 1)]
            elif what == 4:
                pieces[at] = piece + dice.randbytes(dice.randrange(1, 64))
            elif what == 5:
                del pieces[at + 1 :]
            else:
                spoilt = bytearray(piece)
                for _ in range(dice.randrange(1, 4)):
                    if spoilt:
                        # heads matter more than data
                        spoilt[dice.randrange(min(len(spoilt), 40))] ^= 1 << dice.randrange(8)
                pieces[at] = bytes(spoilt)
            if not pieces:
                break
        self.blurt(dice, line, b"".join(pieces))

    def noise(self, dice, line):
        begin = dice.choice((b"", struct.pack(">I", 3), struct.pack(">I", 3) + option(GO, info(self.export))))
        self.blurt(dice, line, begin + dice.randbytes(dice.randrange(4096)))

    def blurt(self, dice, line, data):
        """Says it all, in pieces or at once, and goes: with a last word, or without waiting."""
        listener = threading.Thread(target=self.listen, args=(line,))
        listener.start()
        while data:
            piece = dice.choice((len(data), dice.randrange(1, len(data) + 1)))
            if not line.say(data[:piece]):
                break
            data = data[piece:]
        try:
            line.socket.shutdown(socket.SHUT_WR if dice.random() < 0.9 else socket.SHUT_RDWR)
        except OSError:
            pass
        listener.join(TIMEOUT_S + 10)
        if listener.is_alive() or getattr(line, "late", False):
            raise Wrong(f"it did not close within {TIMEOUT_S} s")

    def listen(self, line):
        try:
            while line.socket.recv(1 << 20):
                pass
        except TimeoutError:
            line.late = True
        except OSError:
            pass

    def converse(self, seed):
        dice = random.Random(seed)
        kind = ("requests", "options", "spoilt", "spoilt", "noise")[seed % 5]
        line = Line(self.where)
        try:
            getattr(self, kind)(dice, line)
        except Wrong as wrong:
            raise Wrong(f"seed {seed}, {kind}: {wrong}") from wrong
        except OSError as error:
            raise Wrong(f"seed {seed}, {kind}: {error!r}") from error
        finally:
            line.close(rudely=dice.random() < 0.2)
        self.count(**{kind: 1, "conversations": 1})


def place(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main():
    parser = argparse.ArgumentParser()
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--unix")
    where.add_argument("--tcp", type=place)
    parser.add_argument("--export", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    client = Client(options)
    seeds = iter(range(options.seed, options.seed + options.count))
    wrong = []

    def work():
        for seed in iter(lambda: next(seeds, None), None):
            if wrong:
                return
            try:
                client.converse(seed)
            except Wrong as error:
                wrong.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(client.counts))
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()
