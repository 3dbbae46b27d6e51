"""What Cinder's volumes and snapshots are called in the pool.

A volume has Cinder's own name for it, unless it was there before Cinder: the
name of a managed one stands in its provider_id. Cinder copies that field from
row to row when it migrates a volume or makes an image's volume, so it is
believed only with the id of the volume that it was written for: a temporary
row that nothing was made for yet must never be deleted as the volume that it
was copied from.
"""

from __future__ import annotations

from cinder import objects

# What the driver makes for itself: snapshots that a volume is cloned through.
CLONE_PREFIX = 'cinder-clone.'
# Volumes that hold an image of Glance, ready to be cloned, and their snapshot.
IMAGE_PREFIX = 'image-'
IMAGE_SNAPSHOT = 'image'


def of_volume(volume: objects.Volume) -> str:
    """A volume's name in the pool."""
    return _bound(volume.provider_id, volume.name_id) or volume.name


def of_snapshot(snapshot: objects.Snapshot) -> str:
    """A snapshot's name in its volume."""
    return _bound(snapshot.provider_id, snapshot.id) or snapshot.name


def bind(name: str, id: str) -> str:
    """The provider_id of what has another name than Cinder's."""
    return f'{name}:{id}'


def _bound(told: str | None, id: str) -> str | None:
    name, _, owner = (told or '').rpartition(':')
    return name if owner == id else None
