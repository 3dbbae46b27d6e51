"""Devices of this host: attached for their first user, detached with the last.

A user is known by its connector, so that asking twice counts once and a second
goodbye does no harm. Users come in two kinds. Attachments are in Cinder's
database and outlive a crash of cinder-volume; whoever asks is told of them
("others"). Cinder's own copies are known to this process alone: after a crash
they are gone, and so is what they held, unless it is still open. The daemon
refuses to detach that, whatever is believed here.
"""

import json
from typing import Any

from oslo_concurrency import lockutils
from oslo_log import log as logging

from restblk_brick import api
from restblk_cinder import client
from restblk_cinder import pool

LOG = logging.getLogger(__name__)


class Devices:
    """The devices of one pool's volumes and snapshots.

    Here each of them is attached itself. What has another place, as a snapshot
    beside its volume in an LVM group, is opened there (thin.py).
    """

    def __init__(self, of_pool: pool.Pool, transport: str) -> None:
        self._pool = of_pool
        self._transport = transport
        # By place: of what, and by which connector.
        self._users: dict[str, set[tuple[str, str]]] = {}

    def place(self, of: str) -> str:
        """What is attached when this is wanted."""
        return of

    def open(self, of: str, link: str) -> str:
        """The path of its device, at its place."""
        return link

    def close(self, place: str) -> None:
        """Before a place is detached: an ApiError, busy, where it is open."""

    def take(self, of: str, connector: dict[str, Any]) -> str:
        """The path of the device, for one more user."""
        place = self.place(of)
        with self._lock(place):
            link = self._attached(place)
            try:
                path = self.open(of, link)
            except Exception:
                if not self._users.get(place):
                    self._detach(place, 0)
                raise
            self._users.setdefault(place, set()).add((of, _key(connector)))
        return path

    def leave(self, of: str, connector: dict[str, Any] | None,
              others: list[dict[str, Any]]) -> bool:
        """One user less; all of them without a connector.

        :returns: whether the device stays, for those who are left
        """
        place = self.place(of)
        with self._lock(place):
            users = self._users_but_of(of) if connector is None else (
                self._users.get(place, set())
                | {(of, _key(c)) for c in others}) - {(of, _key(connector))}
            return self._left_to(users, place)

    def resume(self, of: str, connectors: list[dict[str, Any]]) -> None:
        """The device is there again for those who had it before a restart."""
        for connector in connectors:
            self.take(of, connector)

    def release(self, of: str) -> None:
        """Nobody has it by Cinder's word: a device that was left goes."""
        place = self.place(of)
        with self._lock(place):
            self._left_to(self._users_but_of(of), place)

    def _users_but_of(self, of: str) -> set[tuple[str, str]]:
        return {user for user in self._users.get(self.place(of), set())
                if user[0] != of}

    def _left_to(self, users: set[tuple[str, str]], place: str) -> bool:
        """Detaches a place that nobody uses; whether it stays."""
        if users:
            self._users[place] = users
            return True
        self._users.pop(place, None)
        self._detach(place, api.LINGER_S)
        return False

    def release_unused(self, of: str) -> None:
        """The same for whom nobody waits; one that is open stays."""
        try:
            with self._lock(of):
                if not self._users.get(of):
                    self._detach(of, 0)
        except client.ApiError as e:
            LOG.warning('%s stays attached: %s', self._pool.ref(of), e)

    def _attached(self, of: str) -> str:
        found = api.settled(lambda: self._pool.attachment(of))
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

    def _detach(self, of: str, linger_s: float) -> None:
        def detach() -> None:
            self.close(of)
            self._pool.detach(of)

        api.detached(detach, linger_s)

    def _lock(self, of: str) -> Any:
        return lockutils.lock(f'restblk-{self._pool.ref(of)}')


def _key(connector: dict[str, Any]) -> str:
    return json.dumps(connector, sort_keys=True, default=str)
