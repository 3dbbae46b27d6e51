"""Attachments: volumes and snapshots as devices of cinder-volume's own host,
and exports of these to other hosts.

For this host os-brick's connector is "local": Cinder's own copies use the
device's path, and so can instances on this host. Other hosts reach volumes by
a target on this one (restblk_export = target, restblk_cinder/export.py), which
is a user of the device like any other; or they attach volumes themselves, by
daemons and os-brick connectors of their own (restblk_export = daemon,
restblk_brick). Who uses a device is restblk_cinder/devices.py's affair.
"""

from __future__ import annotations

import functools
import socket
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from cinder import context
from cinder import exception
from cinder.i18n import _
from cinder import objects
from cinder.volume import volume_utils

from restblk_cinder import client
from restblk_cinder import devices
from restblk_cinder import export
from restblk_cinder import names
from restblk_cinder import pool
from restblk_cinder import records

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

Connector = dict[str, Any]


class Connecting:
    """The part of the driver that attaches and detaches."""

    STORAGE_PROTOCOL = 'local'

    host: str | None
    configuration: Any
    _pool: pool.Pool
    _devices: devices.Devices
    _exports: export.Exports | None = None
    _by_daemons = False
    _punches: bool

    def validate_connector(self, connector: Connector) -> None:
        """Devices are this host's; others want an export."""
        if exports := self._exports_to(connector):
            exports.validate(connector)
        elif self._attaches_itself(connector):
            if not connector.get('restblk'):
                LOG.error('%s has no connector of restblk: run '
                          'restblk-brick-register there', connector['host'])
                raise exception.InvalidConnectorException(missing='restblk')
        else:
            self._require_here(connector)

    def initialize_connection(self, volume: objects.Volume,
                              connector: Connector, **kwargs: Any) -> dict:
        if exports := self._exports_to(connector):
            return exports.connect(volume, connector)
        if self._attaches_itself(connector):
            return self._leave_to(connector, volume)
        return self._connect(names.of_volume(volume), connector)

    def terminate_connection(self, volume: objects.Volume,
                             connector: Connector | None,
                             **kwargs: Any) -> bool:
        """:returns: whether others still use the device"""
        name = names.of_volume(volume)
        left = [c for c in records.connectors(volume)
                if connector is not None and c != connector]
        if connector is not None and self._attaches_itself(connector):
            # Its daemon has detached it.
            return bool(left)
        if self._exports and (connector is None
                              or self._is_elsewhere(connector)):
            if connector and any(map(self._is_elsewhere, left)):
                # As while an instance moves from one host to another.
                self._exports.disconnect(volume, connector)
                return True
            self._exports.end(context.get_admin_context(), volume)
        return self._devices.leave(
            name, None if connector is None else self._user(connector),
            [self._user(c) for c in left])

    def ensure_export(self, context: context.RequestContext,
                      volume: objects.Volume) -> None:
        """After a restart of this host: who had the device has it again."""
        name, connectors = names.of_volume(volume), records.connectors(volume)
        elsewhere = [c for c in connectors if self._exports_to(c)]
        self._devices.resume(name, [
            c for c in connectors
            if c not in elsewhere and not self._attaches_itself(c)])
        if self._exports and elsewhere:
            path = self._devices.take(name, export.USER)
            self._exports.resume(context, volume, path, elsewhere)

    def create_export(self, context: context.RequestContext,
                      volume: objects.Volume,
                      connector: Connector) -> dict | None:
        exports = self._exports_to(connector)
        if not exports:
            return None
        path = self._devices.take(names.of_volume(volume), export.USER)
        try:
            return exports.create(context, volume, path)
        except Exception:
            self.remove_export(context, volume)
            raise

    def remove_export(self, context: context.RequestContext,
                      volume: objects.Volume) -> None:
        """Ends one that is left over: no other host is connected by it.

        Cinder calls this after its own copies, too, and after a goodbye.
        """
        if not self._exports:
            return
        connectors = records.connectors(volume)
        if self._end_unused(context, volume, connectors):
            self._devices.leave(names.of_volume(volume), export.USER,
                                connectors)

    def _end_unused(self, context: context.RequestContext,
                    volume: objects.Volume,
                    connectors: list[Connector]) -> bool:
        """Serves it no more, unless another host is among the connectors."""
        if not self._exports or any(map(self._is_elsewhere, connectors)):
            return False
        self._exports.end(context, volume)
        return True

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
        self._require_here(connector)
        path = self._devices.take(of, connector)
        return {'driver_volume_type': self.STORAGE_PROTOCOL,
                'data': {'device_path': path,
                         'discard': self._punches and '@' not in of}}

    def _leave_to(self, connector: Connector, volume: objects.Volume) -> dict:
        """What a host's daemon needs to know; it does the rest."""
        name = names.of_volume(volume)
        others = {c.get('host') for c in records.connectors(volume)}
        if other := next(iter(others - {connector['host']}), None):
            raise client.ApiError(
                'busy', _('%(volume)s is attached to %(host)s, and daemons '
                          'take a volume one at a time')
                % {'volume': self._pool.ref(name), 'host': other},
                'detach it there first, or use restblk_export = target')
        return {'driver_volume_type': 'restblk',
                'data': {'volume': self._pool.ref(name),
                         'discard': self._punches}}

    def _attaches_itself(self, connector: Connector) -> bool:
        """Whether a daemon of the connector's own host has the volume."""
        return self._by_daemons and self._is_elsewhere(connector)

    def _is_elsewhere(self, connector: Connector) -> bool:
        host = connector.get('host')
        return bool(host) and not self._names_of_host & {'*', host}

    def _exports_to(self, connector: Connector) -> export.Exports | None:
        """What serves a connector's host; None where the device does."""
        return self._exports if self._is_elsewhere(connector) else None

    def _require_here(self, connector: Connector) -> None:
        if self._is_elsewhere(connector):
            LOG.error('%s is not this host (%s): restblk_local_hosts takes '
                      'further names of it, and restblk_export other hosts',
                      connector['host'],
                      ', '.join(sorted(self._names_of_host)))
            raise exception.InvalidConnectorException(
                missing=_('a host that is this one (%s)') % CONF.host)

    @functools.cached_property
    def _names_of_host(self) -> set[str]:
        # Once: a name server may be asked.
        return {socket.gethostname(), socket.getfqdn(), CONF.host,
                volume_utils.extract_host(self.host or CONF.host, 'host'),
                *self.configuration.safe_get('restblk_local_hosts')}

    def _user(self, connector: Connector) -> Connector:
        """Whom the device knows: all other hosts are one user."""
        return export.USER if self._exports_to(connector) else connector


def _snapshot_in_pool(snapshot: objects.Snapshot) -> str:
    return '@'.join((names.of_volume(snapshot.volume),
                     names.of_snapshot(snapshot)))
