"""Deleted volumes that clones still read from.

Cinder lets a volume be deleted once its snapshots are, whatever was made of
them; a restblk volume stays as long as clones read from it. So it is deleted
in two steps: a mark of its name is made in the pool, a volume of one block,
and the deletion is tried again when other volumes were deleted. The mark lies
on the store: it outlives this process and this host, and a listing tells it.
"""

from oslo_concurrency import lockutils
from oslo_log import log as logging

from cinder import exception
from cinder.i18n import _

from restblk_cinder import client
from restblk_cinder import names
from restblk_cinder import pool

LOG = logging.getLogger(__name__)

# The smallest volume of the log layout.
MARK_SIZE = 4096
# Deletions that are tried in one go: each asks the store some times.
AT_ONCE = 32


class Trash:
    """The deleted volumes of a pool."""

    def __init__(self, of_pool: pool.Pool) -> None:
        self._pool = of_pool
        self._waiting: list[str] = []
        self._tries = 0

    def load(self) -> None:
        """Finds the marks of an earlier life."""
        self._waiting = marked(self._pool.volumes())
        self._stir()

    def delete(self, name: str) -> None:
        """Deletes a volume, or marks it; VolumeIsBusy where it is in use."""
        try:
            with pool.absent():
                self._delete(name)
        except client.ApiError as e:
            if e.kind != 'busy':
                raise
            LOG.error('%s', e)
            raise exception.VolumeIsBusy(message=str(e))
        self._stir()

    def empty(self) -> None:
        """Deletes what nobody reads from any more; fails quietly."""
        with lockutils.lock(f'restblk-trash-{self._pool.name}'):
            tried = self._waiting[:min(self._tries, AT_ONCE)]
            self._tries -= len(tried)
            for name in tried:
                self._waiting.remove(name)
                try:
                    self._delete_marked(name)
                except client.ApiError as e:
                    LOG.debug('%s waits for its deletion: %s', name, e)
                    self._waiting.append(name)
                else:
                    LOG.info('%s is deleted now', name)
                    self._stir()

    def _delete_marked(self, name: str) -> None:
        with pool.absent():
            self._pool.delete(name)
        with pool.absent():
            self._pool.delete(names.DELETED_PREFIX + name)

    def _stir(self) -> None:
        """Something went: each that waits is worth a try."""
        self._tries = len(self._waiting)

    def _delete(self, name: str) -> None:
        try:
            return self._pool.delete(name)
        except client.ApiError as e:
            if e.kind != 'busy':
                raise
            busy = e
        volume = self._pool.volume(name)
        if volume.get('attached_by') or volume['layout'] != 'log':
            raise busy
        snapshots = [s['name'] for s in self._pool.snapshots(name)]
        strange = [s for s in snapshots
                   if not s.startswith(names.CLONE_PREFIX)]
        if strange:
            raise client.ApiError(
                'busy', _('failed to delete %(volume)s: it has snapshots that '
                          'Cinder does not know: %(snapshots)s')
                % {'volume': self._pool.ref(name),
                   'snapshots': ', '.join(strange)},
                'restblk snapshot delete them, or manage them')
        for snapshot in snapshots:
            # A clone through it was cut off.
            with pool.absent():
                self._pool.delete_snapshot(name, snapshot)
        try:
            return self._pool.delete(name)
        except client.ApiError as e:
            if e.kind != 'busy':
                raise
        try:
            self._pool.create(names.DELETED_PREFIX + name, MARK_SIZE, 'log')
        except client.ApiError as e:
            if e.kind != 'exists':
                raise
        LOG.info('%s is kept until no clone reads from it', name)
        self._waiting.append(name)


def marked(volumes: list[dict]) -> list[str]:
    """The names that are marked as deleted in a listing of a pool."""
    prefix = names.DELETED_PREFIX
    return [v['name'].removeprefix(prefix) for v in volumes
            if v['name'].startswith(prefix)]
