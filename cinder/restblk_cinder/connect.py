"""Attachments: volumes and snapshots as devices of cinder-volume's own host.

os-brick's connector is "local": Cinder's own copies use the device's path, and
so can instances on this host. Who uses a device is restblk_cinder/devices.py's
affair.
"""

from __future__ import annotations

import socket
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from cinder import context
from cinder import exception
from cinder.i18n import _
from cinder import objects
from cinder.volume import volume_utils

from restblk_cinder import devices
from restblk_cinder import names
from restblk_cinder import records

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

Connector = dict[str, Any]


class Connecting:
    """The part of the driver that attaches and detaches."""

    STORAGE_PROTOCOL = 'local'

    host: str | None
    configuration: Any
    _devices: devices.Devices
    _punches: bool

    def validate_connector(self, connector: Connector) -> None:
        """Devices are this host's, and so are its connectors."""
        local = {socket.gethostname(), socket.getfqdn(), CONF.host,
                 volume_utils.extract_host(self.host or CONF.host, 'host'),
                 *self.configuration.safe_get('restblk_local_hosts')}
        host = connector.get('host')
        if host and not local & {'*', host}:
            LOG.error('%s is not this host (%s): restblk_local_hosts takes '
                      'further names of it', host, ', '.join(sorted(local)))
            raise exception.InvalidConnectorException(
                missing=_('a host that is this one (%s)') % CONF.host)

    def initialize_connection(self, volume: objects.Volume,
                              connector: Connector, **kwargs: Any) -> dict:
        return self._connect(names.of_volume(volume), connector)

    def terminate_connection(self, volume: objects.Volume,
                             connector: Connector | None,
                             **kwargs: Any) -> bool:
        """:returns: whether others still use the device"""
        return self._devices.leave(names.of_volume(volume), connector,
                                   records.connectors(volume))

    # Volumes are exported nowhere; a host that was restarted has them again.

    def ensure_export(self, context: context.RequestContext,
                      volume: objects.Volume) -> None:
        """After a restart of this host: who had the device has it again."""
        self._devices.resume(names.of_volume(volume),
                             records.connectors(volume))

    def create_export(self, context: context.RequestContext,
                      volume: objects.Volume, connector: Connector) -> None:
        pass

    def remove_export(self, context: context.RequestContext,
                      volume: objects.Volume) -> None:
        pass

    # Snapshots, beside their volume and only read

    def initialize_connection_snapshot(self, snapshot: objects.Snapshot,
                                       connector: Connector,
                                       **kwargs: Any) -> dict:
        return self._connect(_snapshot_in_pool(snapshot), connector)

    def terminate_connection_snapshot(self, snapshot: objects.Snapshot,
                                      connector: Connector | None,
                                      **kwargs: Any) -> bool:
        return self._devices.leave(_snapshot_in_pool(snapshot), connector, [])

    def create_export_snapshot(self, context: context.RequestContext,
                               snapshot: objects.Snapshot,
                               connector: Connector) -> None:
        pass

    def remove_export_snapshot(self, context: context.RequestContext,
                               snapshot: objects.Snapshot) -> None:
        pass

    def _connect(self, of: str, connector: Connector) -> dict:
        self.validate_connector(connector)
        path = self._devices.take(of, connector)
        return {'driver_volume_type': self.STORAGE_PROTOCOL,
                'data': {'device_path': path,
                         'discard': self._punches and '@' not in of}}


def _snapshot_in_pool(snapshot: objects.Snapshot) -> str:
    return '@'.join((names.of_volume(snapshot.volume),
                     names.of_snapshot(snapshot)))
