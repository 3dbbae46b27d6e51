"""Devices of this host: attached for their first user, detached with the last.

A user is known by its connector, so that asking twice counts once and a second
goodbye does no harm. Users come in two kinds. Attachments are in Cinder's
database and outlive a crash of cinder-volume; whoever asks is told of them
("others"). Cinder's own copies are known to this process alone: after a crash
they are gone, and so is what they held, unless it is still open. The daemon
refuses to detach that, whatever is believed here.
"""

import json
import time
from typing import Any

from oslo_concurrency import lockutils
from oslo_log import log as logging

from restblk_cinder import client
from restblk_cinder import pool

LOG = logging.getLogger(__name__)

# How long a program that looks at each new or changed device, such as udev's,
# may keep it open.
LINGER_S = 10


class Devices:
    """The devices of one pool's volumes and snapshots."""

    def __init__(self, of_pool: pool.Pool, transport: str) -> None:
        self._pool = of_pool
        self._transport = transport
        self._users: dict[str, set[str]] = {}

    def take(self, of: str, connector: dict[str, Any]) -> str:
        """The path of the device, for one more user."""
        with self._lock(of):
            path = self._attached(of)
            self._users.setdefault(of, set()).add(_key(connector))
        return path

    def leave(self, of: str, connector: dict[str, Any] | None,
              others: list[dict[str, Any]]) -> bool:
        """One user less; all of them without a connector.

        :returns: whether the device stays, for those who are left
        """
        with self._lock(of):
            users = self._users.get(of, set())
            if connector is None:
                users.clear()
            else:
                users.discard(_key(connector))
                users |= {_key(c) for c in others} - {_key(connector)}
            if users:
                self._users[of] = users
                return True
            self._users.pop(of, None)
            self._detach(of, LINGER_S)
            return False

    def resume(self, of: str, connectors: list[dict[str, Any]]) -> None:
        """The device is there again for those who had it before a restart."""
        for connector in connectors:
            self.take(of, connector)

    def release(self, of: str) -> None:
        """Nobody has it by Cinder's word: a device that was left goes."""
        with self._lock(of):
            self._users.pop(of, None)
            self._detach(of, LINGER_S)

    def release_unused(self, of: str) -> None:
        """The same for whom nobody waits; one that is open stays."""
        try:
            with self._lock(of):
                if not self._users.get(of):
                    self._detach(of, 0)
        except client.ApiError as e:
            LOG.warning('%s stays attached: %s', self._pool.ref(of), e)

    def _attached(self, of: str) -> str:
        found = self._settled(of)
        if found and found['state'] != 'active':
            LOG.warning('attaching %s anew: %s', self._pool.ref(of),
                        found.get('problem') or found['state'])
            self._detach(of, 0)
            found = None
        if not found:
            found = self._pool.attach(of, self._transport)
        unfit = (
            'exported to NBD clients' if 'link' not in found else
            'for reading only' if found['read_only'] and '@' not in of else
            None)
        if unfit:
            raise client.ApiError(
                'busy', f'failed to attach {self._pool.ref(of)}: it is '
                f'attached to this host already, {unfit}',
                f'restblk detach {self._pool.ref(of)}')
        return found['link']

    def _settled(self, of: str) -> dict[str, Any] | None:
        """The attachment, when a daemon that just started has it again."""
        until = time.monotonic() + client.RESTART_S
        while True:
            found = self._pool.attachment(of)
            if (not found or found['state'] != 'starting'
                    or time.monotonic() > until):
                return found
            time.sleep(0.2)

    def _detach(self, of: str, linger_s: float) -> None:
        until = time.monotonic() + linger_s
        while True:
            try:
                with pool.absent():
                    self._pool.detach(of)
                return
            except client.ApiError as e:
                if e.kind != 'busy' or time.monotonic() > until:
                    raise
            time.sleep(0.2)

    def _lock(self, of: str) -> Any:
        return lockutils.lock(f'restblk-{self._pool.ref(of)}')


def _key(connector: dict[str, Any]) -> str:
    return json.dumps(connector, sort_keys=True, default=str)
