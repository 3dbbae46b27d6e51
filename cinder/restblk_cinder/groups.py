"""Groups: snapshots and copies of several volumes, all of one moment.

restblk cuts several log volumes at once, or none of them. All else of groups
is Cinder's own: what is not implemented here it does volume by volume.
"""

from __future__ import annotations

from typing import Any

from cinder import context
from cinder import objects
from cinder.objects import fields

from restblk_cinder import names
from restblk_cinder import pool

# What Cinder is to keep of a group, and of each of its members.
Updates = tuple[dict[str, Any], list[dict[str, Any]]]


class Grouping:
    """The part of the driver that knows groups."""

    _pool: pool.Pool
    _layout: str

    def _clone(self, volume: objects.Volume, source: str,
               snapshot: str) -> dict[str, Any] | None:
        raise NotImplementedError

    def _forget(self, source: str, snapshot: str) -> None:
        raise NotImplementedError

    def create_group_snapshot(self, context: context.RequestContext,
                              group_snapshot: objects.GroupSnapshot,
                              snapshots: list[objects.Snapshot]) -> Updates:
        self._require_moments()
        self._pool.make_snapshots([(names.of_volume(snapshot.volume),
                                    snapshot.name) for snapshot in snapshots])
        available = fields.SnapshotStatus.AVAILABLE
        return ({'status': fields.GroupSnapshotStatus.AVAILABLE},
                [{'id': snapshot.id, 'status': available}
                 for snapshot in snapshots])

    def create_group_from_src(
            self, context: context.RequestContext, group: objects.Group,
            volumes: list[objects.Volume],
            group_snapshot: objects.GroupSnapshot | None = None,
            snapshots: list[objects.Snapshot] | None = None,
            source_group: objects.Group | None = None,
            source_vols: list[objects.Volume] | None = None) -> Updates:
        """Of another group: as its volumes are at one moment."""
        self._require_moments()
        if not source_vols:
            # A group's snapshot is of one moment already.
            raise NotImplementedError
        sources = {source.id: names.of_volume(source)
                   for source in source_vols}
        through = names.CLONE_PREFIX + group.id
        self._pool.make_snapshots([(name, through)
                                   for name in sources.values()])
        try:
            made = [{'id': volume.id, 'status': fields.VolumeStatus.AVAILABLE,
                     **(self._clone(volume, sources[volume.source_volid],
                                    through) or {})}
                    for volume in volumes]
        finally:
            for name in sources.values():
                self._forget(name, through)
        return {'status': fields.GroupStatus.AVAILABLE}, made

    def _require_moments(self) -> None:
        if self._layout == 'direct':
            raise NotImplementedError
