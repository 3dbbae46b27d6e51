"""What Cinder's database knows, as far as the driver asks it."""

from __future__ import annotations

from typing import Any

from cinder import context
from cinder import objects
from cinder.volume import volume_types


def connectors(volume: objects.Volume) -> list[dict[str, Any]]:
    """The connectors of a volume's attachments, of those that have one."""
    return [a.connector for a in attachments(volume) if a.connector]


def attachments(volume: objects.Volume) -> list[objects.VolumeAttachment]:
    """A volume's attachments."""
    return list(objects.VolumeAttachmentList.get_all_by_volume_id(
        context.get_admin_context(), volume.id))


def volumes_on(host: str) -> list[objects.Volume]:
    """The volumes of a back end."""
    return list(objects.VolumeList.get_all_by_host(
        context.get_admin_context(), host))


def snapshots_of(volume_id: str) -> list[objects.Snapshot]:
    """The snapshots of a volume."""
    return list(objects.SnapshotList.get_all_for_volume(
        context.get_admin_context(), volume_id))


def extra_specs(type_id: str | None) -> dict[str, str]:
    """A type's extra specs."""
    if not type_id:
        return {}
    return volume_types.get_volume_type_extra_specs(type_id)


def qos(type_id: str | None) -> dict[str, Any]:
    """A type's QoS: "consumer" and "specs"; empty where it has none."""
    if not type_id:
        return {}
    found = volume_types.get_volume_type_qos_specs(type_id)
    return found.get('qos_specs') or {}
