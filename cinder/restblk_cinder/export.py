"""Volumes for other hosts, by iSCSI or NVMe from cinder-volume's host.

Cinder has drivers of such targets (target_helper: LIO's, the kernel's NVMe
target's, ...), which serve a device of this host to its initiators, as they do
for Cinder's LVM driver. They run commands by Cinder's rootwrap and privsep;
nothing here does. What they tell of an export stands in the volume's
provider_location and provider_auth.
"""

from __future__ import annotations

from typing import Any

from oslo_utils import importutils

from cinder import context
from cinder import objects
from cinder.volume import configuration

# How the export is known among the users of its device.
USER = {'target': 'of this host'}


class Exports:
    """The exports of one back end."""

    def __init__(self, mapping: dict[str, str],
                 section: configuration.Configuration, execute: Any) -> None:
        """:param mapping: Cinder's target drivers by their names"""
        helper = section.safe_get('target_helper')
        self._target = importutils.import_object(
            mapping[helper], configuration=section, executor=execute)

    @property
    def protocol(self) -> str:
        """As Cinder's statistics name it."""
        return self._target.storage_protocol or self._target.protocol

    def validate(self, connector: dict[str, Any]) -> None:
        """An error unless the connector has an initiator for these."""
        self._target.validate_connector(connector)

    def create(self, ctxt: context.RequestContext, volume: objects.Volume,
               path: str) -> dict[str, Any]:
        """Serves a device; where that is done already, nothing changes.

        :returns: what Cinder is to keep with the volume
        """
        made = self._target.create_export(ctxt, volume, path)
        return {'provider_location': made['location'],
                'provider_auth': made['auth']}

    def resume(self, ctxt: context.RequestContext, volume: objects.Volume,
               path: str, connectors: list[dict[str, Any]]) -> None:
        """The same after a restart, for those who are connected."""
        self._target.create_export(ctxt, volume, path)
        for connector in connectors:
            self._target.initialize_connection(volume, connector)

    def connect(self, volume: objects.Volume,
                connector: dict[str, Any]) -> dict[str, Any]:
        """Lets an initiator in; what its host needs to know."""
        return self._target.initialize_connection(volume, connector)

    def disconnect(self, volume: objects.Volume,
                   connector: dict[str, Any]) -> None:
        """Lets one initiator in no more; others stay."""
        self._target.terminate_connection(volume, connector)

    def end(self, ctxt: context.RequestContext,
            volume: objects.Volume) -> None:
        """Serves it no more; where it is not served, nothing changes."""
        if volume.provider_location:
            self._target.remove_export(ctxt, volume)

    def extend(self, volume: objects.Volume) -> None:
        """The device has grown, if it is served."""
        if volume.provider_location:
            self._target.extend_target(volume)
