"""Volumes and snapshots that were there before Cinder, and stay after it.

They keep their names in the pool; Cinder keeps the name with its own record
(restblk_cinder/names.py).
"""

from __future__ import annotations

import re
from typing import Any

from oslo_utils import units

from cinder import exception
from cinder.i18n import _
from cinder import objects
from cinder.volume import volume_utils

from restblk_brick import api
from restblk_cinder import client
from restblk_cinder import names
from restblk_cinder import pool
from restblk_cinder import records
from restblk_cinder import settings
from restblk_cinder import thin

Reference = dict[str, str]


class Managing:
    """The part of the driver that manages what exists."""

    _pool: pool.Pool
    _layout: str
    _thin: thin.ThinDevices | None

    def _settings(self, volume: objects.Volume) -> settings.Settings:
        raise NotImplementedError

    def _apply(self, name: str, wanted: settings.Settings,
               anew: bool = False) -> None:
        raise NotImplementedError

    # Volumes

    def manage_existing_get_size(self, volume: objects.Volume,
                                 existing_ref: Reference) -> int:
        return _whole_gb(self._find(existing_ref)['size'])

    def manage_existing(self, volume: objects.Volume,
                        existing_ref: Reference) -> dict[str, Any]:
        found = self._find(existing_ref)
        name = found['name']
        reason = self._reason_not_safe(found, self._managed(
            records.volumes_on(volume.host), but=volume.id))
        if reason:
            raise exception.ManageExistingInvalidReference(
                existing_ref=existing_ref, reason=reason)
        self._apply(name, self._settings(volume), anew=True)
        return {'provider_id': _bound(
            name, volume.name, volume.name_id)}

    def unmanage(self, volume: objects.Volume) -> None:
        """It stays in the pool, under the name that it has."""

    def get_manageable_volumes(self, cinder_volumes: list[objects.Volume],
                               marker: Any, limit: int, offset: int,
                               sort_keys: list[str],
                               sort_dirs: list[str]) -> list[dict]:
        listing = self._pool.volumes()
        managed = self._managed(cinder_volumes)
        entries = []
        for found in listing:
            name = found['name']
            reason = self._reason_not_safe(found, managed)
            entries.append({
                'reference': {'source-name': name},
                'size': _whole_gb(found['size']),
                'safe_to_manage': reason is None,
                'reason_not_safe': reason,
                'cinder_id': managed.get(name),
                'extra_info': None})
        return volume_utils.paginate_entries_list(
            entries, marker, limit, offset, sort_keys, sort_dirs)

    # Snapshots

    def manage_existing_snapshot_get_size(self, snapshot: objects.Snapshot,
                                          existing_ref: Reference) -> int:
        return _whole_gb(self._find_snapshot(snapshot, existing_ref)['size'])

    def manage_existing_snapshot(self, snapshot: objects.Snapshot,
                                 existing_ref: Reference) -> dict[str, Any]:
        self._find_snapshot(snapshot, existing_ref)
        name = existing_ref['source-name']
        for known in records.snapshots_of(snapshot.volume_id):
            if known.id != snapshot.id and names.of_snapshot(known) == name:
                raise exception.ManageExistingInvalidReference(
                    existing_ref=existing_ref, reason=_('already managed'))
        return {'provider_id': _bound(
            name, snapshot.name, snapshot.id)}

    def unmanage_snapshot(self, snapshot: objects.Snapshot) -> None:
        """It stays in its volume, under the name that it has."""

    def get_manageable_snapshots(self, cinder_snapshots: list[
                                     objects.Snapshot],
                                 marker: Any, limit: int, offset: int,
                                 sort_keys: list[str],
                                 sort_dirs: list[str]) -> list[dict]:
        listing = self._pool.volumes()
        managed = {(names.of_volume(s.volume), names.of_snapshot(s)): s.id
                   for s in cinder_snapshots}
        entries = []
        for volume in listing:
            if volume['layout'] != 'log':
                continue
            for found in self._snapshots(volume['name']):
                known = managed.get((volume['name'], found['name']))
                if found['name'].startswith(names.CLONE_PREFIX):
                    continue
                entries.append({
                    'reference': {'source-name': found['name']},
                    'size': _whole_gb(found['size']),
                    'safe_to_manage': known is None,
                    'reason_not_safe': _('already managed') if known else None,
                    'cinder_id': known,
                    'extra_info': None,
                    'source_reference': {'source-name': volume['name']}})
        return volume_utils.paginate_entries_list(
            entries, marker, limit, offset, sort_keys, sort_dirs)

    # What they share

    def _find(self, reference: Reference) -> dict[str, Any]:
        name = _name(reference)
        try:
            return self._pool.volume(name) | {'name': name}
        except client.ApiError as e:
            if e.kind not in ('not_found', 'invalid'):
                raise
            raise exception.ManageExistingInvalidReference(
                existing_ref=reference, reason=str(e))

    def _find_snapshot(self, snapshot: objects.Snapshot,
                       reference: Reference) -> dict[str, Any]:
        volume = names.of_volume(snapshot.volume)
        try:
            return self._pool.snapshot(volume, _name(reference))
        except client.ApiError as e:
            if e.kind not in ('not_found', 'invalid', 'unsupported'):
                raise
            raise exception.ManageExistingInvalidReference(
                existing_ref=reference, reason=str(e))

    def _snapshots(self, name: str) -> list[dict[str, Any]]:
        with api.absent():
            return self._pool.snapshots(name)
        return []

    def _managed(self, volumes: list[objects.Volume],
                 but: str | None = None) -> dict[str, str]:
        return {names.of_volume(v): v.id for v in volumes if v.id != but}

    def _reason_not_safe(self, found: dict[str, Any],
                         managed: dict[str, str]) -> str | None:
        name, holder = found['name'], found.get('attached_by')
        if name in managed:
            return _('already managed')
        if found['state'] != 'ready':
            return _('half-made or half-deleted')
        if holder:
            return _('attached to host %s') % holder['hostname']
        if self._thin:
            return _('volumes of this back end are LVM groups that it made')
        if found['layout'] != self._layout:
            return _('its layout is %(its)s, and that of the back end '
                     '%(ours)s') % {'its': found['layout'],
                                    'ours': self._layout}
        return None


def _name(reference: Reference) -> str:
    name = reference.get('source-name') or ''
    if not re.fullmatch(r'\w[\w.-]*', name, re.ASCII):
        raise exception.ManageExistingInvalidReference(
            existing_ref=reference,
            reason=_('give the name in the pool, without the pool, as '
                     'source-name'))
    return name


def _bound(name: str, cinders: str, id: str) -> str | None:
    return None if name == cinders else names.bind(name, id)


def _whole_gb(size: int) -> int:
    return -(-size // units.Gi)
