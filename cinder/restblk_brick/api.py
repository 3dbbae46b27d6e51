"""The daemon's HTTP API, spoken over its Unix socket.

One connection a request. An answer of 4xx or 5xx becomes a Refusal, whose
kind says what to do next; a daemon that is being restarted is waited for, as
long as nothing was sent.
"""

import collections.abc
import contextlib
import http.client
import json
import socket
import time
from typing import Any

# A restart of the daemon takes less.
RESTART_S = 15
# How long a program that looks at each new or changed device, such as udev's,
# may keep it open.
LINGER_S = 10
# For what takes as long as it takes.
LONG_S = 3600


class Refusal(Exception):
    """What the daemon refused, or why it did not answer.

    Users of a client have one of their own, made of a kind, a message and
    perhaps a hint.
    """

    kind: str


@contextlib.contextmanager
def absent() -> collections.abc.Iterator[None]:
    """Goes on where what was asked for is not there."""
    try:
        yield
    except Refusal as e:
        if e.kind != 'not_found':
            raise


def settled(look: collections.abc.Callable[[], Any]) -> Any:
    """The attachment, when a daemon that just started has it again."""
    until = time.monotonic() + RESTART_S
    while True:
        found = look()
        if (not found or found['state'] != 'starting'
                or time.monotonic() > until):
            return found
        time.sleep(0.2)


def detached(detach: collections.abc.Callable[[], None],
             linger_s: float) -> None:
    """Detaches, if need be when somebody has closed the device again."""
    until = time.monotonic() + linger_s
    while True:
        try:
            with absent():
                detach()
            return
        except Refusal as e:
            if e.kind != 'busy' or time.monotonic() > until:
                raise
        time.sleep(0.2)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__('localhost', timeout=timeout)
        self._path = path

    def connect(self) -> None:
        until = time.monotonic() + RESTART_S
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            try:
                return self.sock.connect(self._path)
            except (ConnectionRefusedError, FileNotFoundError):
                self.sock.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)


class Client:
    """Requests to one daemon."""

    # The Refusal that is raised.
    error: Any

    def __init__(self, path: str, timeout: float) -> None:
        self._path = path
        self._timeout = timeout

    def call(self, method: str, path: str, body: Any = None,
             long: bool = False) -> Any:
        """The answer's body; None where it has none."""
        timeout = LONG_S if long else self._timeout
        connection = _Connection(self._path, timeout)
        asked = f'{method} {path} of the restblk daemon at {self._path}'
        try:
            connection.request(
                method, path,
                body=None if body is None else json.dumps(body),
                headers={'Content-Type': 'application/json'})
            answer = connection.getresponse()
            text = answer.read()
        except TimeoutError:
            raise self.error(
                'unavailable',
                f'failed to ask {asked}: no answer in {timeout} s',
                "see the daemon's log")
        except (OSError, http.client.HTTPException) as e:
            raise self.error(
                'unavailable', f'failed to ask {asked}: {e}',
                'is it running, and may this user open its socket?')
        finally:
            connection.close()
        if answer.status < 300:
            return json.loads(text) if text else None
        try:
            error = json.loads(text)
            kind, message = error['kind'], error['message']
        except (ValueError, KeyError, TypeError):
            raise self.error('bug', f'failed to ask {asked}: status '
                                    f'{answer.status}, {text[:200]!r}')
        raise self.error(kind, message, error.get('hint'))
