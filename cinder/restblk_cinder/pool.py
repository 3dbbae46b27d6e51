"""One pool of the daemon: the calls of its API that the driver makes.

Sizes are bytes. "of" names a volume of the pool, or VOLUME@SNAPSHOT.
"""

from typing import Any

from restblk_brick import api
from restblk_cinder import client

Answer = dict[str, Any]


class Pool:
    """A pool, by name."""

    def __init__(self, api: client.Client, name: str) -> None:
        self._api = api
        self.name = name
        # Lately its store had no space for what was to be made.
        self._full = False

    def ref(self, of: str) -> str:
        """The name that the whole host knows: POOL/VOLUME[@SNAPSHOT]."""
        return f'{self.name}/{of}'

    def host(self) -> Answer:
        """The daemon and its host."""
        return self._api.call('GET', '/v1/host')

    def describe(self) -> Answer:
        """The pool's state, and what its store was proved to do."""
        return self._api.call('GET', f'/v1/pools/{self.name}')

    def require_ready(self, layout: str, host_id: str) -> Answer:
        """The pool as described; an error unless volumes can be made in it.

        Stores do not tell when they have space again, so one that had none is
        asked by making a volume, which goes at once.
        """
        found = self.describe()
        if found['state'] != 'ready':
            raise client.ApiError(
                'unavailable', f'the restblk pool {self.name} is '
                f'{found["state"]}: {found.get("problem")}')
        if self._full:
            path = self._volume(f'cinder-probe.{layout}.{host_id}')
            with api.absent():
                self._api.call('DELETE', f'{path}?now=true', long=True)
            self.create(path.rpartition('/')[2], 1 << 20, layout)
            self._api.call('DELETE', f'{path}?now=true', long=True)
            self._full = False
        return found

    # Volumes

    def volumes(self) -> list[Answer]:
        """All of the pool, each with its name in the pool as "name"."""
        found = self._api.call('GET', f'/v1/volumes?pool={self.name}',
                               long=True)
        for volume in found:
            volume['name'] = volume['volume'].partition('/')[2]
        return found

    def volume(self, name: str) -> Answer:
        return self._api.call('GET', self._volume(name))

    def create(self, name: str, size: int, layout: str,
               durability: str = 'local') -> None:
        self._make('/v1/volumes', {
            'volume': self.ref(name), 'size': size, 'layout': layout,
            'durability': durability})

    def delete(self, name: str, layout: str, keep_s: int = 0) -> None:
        """Deletes for good, after so many seconds in the trash.

        A log volume goes when no clone reads from it.
        """
        how = 'now=true' if layout == 'direct' else f'keep={keep_s}'
        self._api.call('DELETE', f'{self._volume(name)}?{how}', long=True)

    def extend(self, name: str, size: int) -> None:
        self._api.call('POST', f'{self._volume(name)}/extend', {'size': size})

    def limit(self, name: str, limits: dict[str, int]) -> None:
        """Sets all rate limits; those that are left out are none."""
        self._api.call('PUT', f'{self._volume(name)}/limits', limits)

    def set_durability(self, name: str, durability: str) -> None:
        self._api.call('PUT', f'{self._volume(name)}/durability',
                       {'durability': durability})

    def flatten(self, name: str) -> None:
        self._api.call('POST', f'{self._volume(name)}/flatten', long=True)

    # Snapshots

    def snapshots(self, name: str) -> list[Answer]:
        """Oldest first, each with its name in the volume as "name"."""
        found = self._api.call('GET', f'{self._volume(name)}/snapshots')
        for snapshot in found:
            snapshot['name'] = snapshot['snapshot'].partition('@')[2]
        return found

    def snapshot(self, name: str, snapshot: str) -> Answer:
        return self._api.call('GET', self._snapshot(name, snapshot))

    def make_snapshot(self, name: str, snapshot: str) -> None:
        self._make(f'{self._volume(name)}/snapshots', {'name': snapshot})

    def make_snapshots(self, made: list[tuple[str, str]]) -> None:
        """Of several volumes, each with its name: at one moment, or none."""
        if made:
            self._make('/v1/snapshots', {'snapshots': [
                self.ref(f'{name}@{snapshot}') for name, snapshot in made]})

    def delete_snapshot(self, name: str, snapshot: str) -> None:
        self._api.call('DELETE', self._snapshot(name, snapshot), long=True)

    def roll_back(self, name: str, snapshot: str) -> None:
        self._api.call('POST', f'{self._snapshot(name, snapshot)}/rollback',
                       long=True)

    def clone(self, name: str, snapshot: str, new: str,
              durability: str) -> Answer:
        return self._make(f'{self._snapshot(name, snapshot)}/clone', {
            'volume': self.ref(new), 'durability': durability})

    # Attachments

    def attachments(self) -> list[Answer]:
        """Those of the pool, each with what is attached as "of"."""
        found = []
        for attachment in self._api.call('GET', '/v1/attachments'):
            pool, _, attachment['of'] = attachment['volume'].partition('/')
            if pool == self.name:
                found.append(attachment)
        return found

    def attachment(self, of: str) -> Answer | None:
        with api.absent():
            return self._api.call('GET', self._attachment(of))
        return None

    def attach(self, of: str, transport: str) -> Answer:
        return self._api.call('POST', '/v1/attachments', {
            'volume': self.ref(of), 'transport': transport, 'persist': True})

    def detach(self, of: str) -> None:
        self._api.call('POST', f'{self._attachment(of)}/detach', {}, long=True)

    def _make(self, path: str, body: Answer) -> Answer:
        """A new volume or snapshot; that the store has no space is kept."""
        try:
            return self._api.call('POST', path, body)
        except client.ApiError as e:
            self._full = self._full or e.kind == 'no_space'
            raise

    # Paths

    def _volume(self, name: str) -> str:
        return f'/v1/volumes/{self.name}/{name}'

    def _snapshot(self, name: str, snapshot: str) -> str:
        return f'{self._volume(name)}/snapshots/{snapshot}'

    def _attachment(self, of: str) -> str:
        return f'/v1/attachments/{self.name}/{of}'
