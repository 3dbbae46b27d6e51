"""Snapshots of direct volumes by LVM: a group of its own on each volume, in it
a thin pool, the thin volume that Cinder knows, and its snapshots.

The device of a volume is the place of all of them: attached for the first who
uses any, and closed with the last. LVM is run by Cinder's rootwrap, with the
filters in rootwrap.d/restblk.filters, and sees no other device than the one
that it is told.
"""

from __future__ import annotations

import collections.abc
import contextlib
import math
import os
from typing import Any
import uuid

from oslo_concurrency import processutils
from oslo_log import log as logging
from oslo_utils import units

from cinder import exception
from cinder.i18n import _
from cinder import utils

from restblk_cinder import client
from restblk_cinder import devices
from restblk_cinder import pool

LOG = logging.getLogger(__name__)

# In each group. LVM keeps names that begin with "snapshot" for itself.
VOLUME = 'volume'
POOL = 'pool'
SNAPSHOT = 'of-'
# Of the group for data; LVM takes the thin pool's metadata from the rest.
_DATA = '95%FREE'


class ThinDevices(devices.Devices):
    """The devices of volumes that are LVM groups."""

    def __init__(self, of_pool: pool.Pool, transport: str,
                 execute: collections.abc.Callable, space: float) -> None:
        """:param space: bytes of a group for each byte of its volume"""
        super().__init__(of_pool, transport)
        self._execute = execute
        self._space = space

    # How groups lie on devices

    def place(self, of: str) -> str:
        return of.partition('@')[0]

    def open(self, of: str, link: str) -> str:
        name, _at, snapshot = of.partition('@')
        volume = SNAPSHOT + snapshot if snapshot else VOLUME
        if self._has(link, name, volume):
            self._lvm(link, 'lvchange', '--activate', 'y',
                      '--ignoreactivationskip', f'{_group(name)}/{volume}')
        elif of != name:
            raise client.ApiError(
                'not_found', _('%s has no such snapshot') % self._pool.ref(of))
        return f'/dev/{_group(name)}/{volume}'

    def close(self, place: str) -> None:
        found = self._pool.attachment(place)
        if not found or 'link' not in found:
            return
        try:
            if self._has(found['link'], place):
                self._lvm(found['link'], 'lvchange', '--activate', 'n',
                          _group(place))
        except processutils.ProcessExecutionError as e:
            if 'in use' not in str(e.stderr):
                # As of a device that gives errors; the daemon takes no
                # device away that is open all the same.
                LOG.warning('the LVM group of %s is left as it is: %s',
                            self._pool.ref(place), e)
                return
            raise client.ApiError(
                'busy', _('failed to detach %(volume)s: %(lvm)s')
                % {'volume': self._pool.ref(place),
                   'lvm': str(e.stderr).strip()})

    def require(self) -> None:
        """An error unless LVM can be run."""
        try:
            self._run('lvs', '--version')
        except (OSError, processutils.ProcessExecutionError) as e:
            raise exception.VolumeDriverException(
                message=_('restblk_snapshots = lvm_thin wants lvm2, and '
                          'restblk.filters in rootwrap.d: %s') % e)

    # What is done in a group

    def bytes_for(self, size_gb: int) -> int:
        """The size of a volume whose group is to hold so many GiB."""
        return math.ceil(size_gb * self._space) * units.Gi

    def make(self, name: str, size_gb: int) -> None:
        """A group on a new volume."""
        with self._group_of(name) as link:
            group = _group(name)
            self._lvm(link, 'vgcreate', '--yes', group, os.path.realpath(link))
            self._lvm(link, 'lvcreate', '--yes', '--type', 'thin-pool',
                      '--extents', _DATA, '--name', POOL, group)
            self._lvm(link, 'lvcreate', '--yes', '--type', 'thin',
                      '--virtualsize', f'{size_gb}g', '--thinpool', POOL,
                      '--name', VOLUME, group)

    def grow(self, name: str, size_gb: int) -> None:
        """The same where the restblk volume has become larger."""
        with self._group_of(name) as link:
            group = _group(name)
            self._lvm(link, 'pvresize', os.path.realpath(link))
            self._lvm(link, 'lvextend', '--extents', f'+{_DATA}',
                      f'{group}/{POOL}')
            self._lvm(link, 'lvextend', '--size', f'{size_gb}g',
                      f'{group}/{VOLUME}')

    def make_snapshot(self, name: str, snapshot: str) -> None:
        """At this moment, whoever uses the volume."""
        with self._group_of(name) as link:
            self._lvm(link, 'lvcreate', '--yes', '--snapshot',
                      '--name', SNAPSHOT + snapshot,
                      f'{_group(name)}/{VOLUME}')

    def delete_snapshot(self, name: str, snapshot: str) -> None:
        """Where there is none, nothing is done."""
        with self._group_of(name) as link:
            if self._has(link, name, SNAPSHOT + snapshot):
                self._lvm(link, 'lvremove', '--yes',
                          f'{_group(name)}/{SNAPSHOT}{snapshot}')

    @contextlib.contextmanager
    def _group_of(self, name: str) -> collections.abc.Iterator[str]:
        """The device of a group for as long as it is changed."""
        # Each change is a user of its own: others may go on beside it.
        user = {'restblk': str(uuid.uuid4())}
        self.take(name, user)
        try:
            found = self._pool.attachment(name)
            yield found['link'] if found else ''
        finally:
            self.leave(name, user, [])

    def _has(self, link: str, name: str, volume: str = '') -> bool:
        """Whether there is such a group on the device, or volume in it."""
        found, _err = self._lvm(
            link, 'lvs', '--noheadings', '--options', 'lv_name',
            '--select', f'vg_name={_group(name)}')
        volumes = found.split()
        return volume in volumes if volume else bool(volumes)

    def _lvm(self, link: str, command: str, *arguments: str) -> Any:
        # ublk is younger than LVM's own list of drivers.
        return self._run(
            command, '--devices', os.path.realpath(link),
            '--config', 'devices/types=["ublk",16]', *arguments)

    def _run(self, *command: str) -> Any:
        return self._execute('env', 'LC_ALL=C', *command, run_as_root=True,
                             root_helper=utils.get_root_helper())


def _group(name: str) -> str:
    return f'restblk-{name}'
