"""os-brick's connector of restblk: the daemon of this host attaches the volume
itself, from the pool's store. No root command is run.

The daemon has to know the pool by the name that cinder-volume's daemon has for
it. RESTBLK_SOCKET names another socket than the usual one.
"""

from __future__ import annotations

import os
from typing import Any

from os_brick import exception
from os_brick.initiator.connectors import base
from os_brick import utils

from restblk_brick import api

TIMEOUT_S = 60

Properties = dict[str, Any]


class Refused(exception.BrickException, api.Refusal):
    """What the daemon of this host refused, or why it did not answer."""

    def __init__(self, kind: str, message: str,
                 hint: str | None = None) -> None:
        self.kind = kind
        super().__init__(f'{message} ({hint})' if hint else message)


class _Client(api.Client):
    error = Refused


class RestblkConnector(base.BaseLinuxConnector):
    """Attaches and detaches volumes by the daemon of this host.

    Connection properties: "volume", POOL/VOLUME.
    """

    def __init__(self, root_helper: str, driver: Any = None,
                 *args: Any, **kwargs: Any) -> None:
        super().__init__(root_helper, *args, driver=driver, **kwargs)
        socket = os.environ.get('RESTBLK_SOCKET', '/run/restblk/api.sock')
        self._api = _Client(socket, TIMEOUT_S)

    @staticmethod
    def get_connector_properties(root_helper: str, *args: Any,
                                 **kwargs: Any) -> Properties:
        """What tells the driver that this host has the connector."""
        return {'restblk': True}

    @utils.trace
    @utils.connect_volume_prepare_result
    def connect_volume(self, connection_properties: Properties
                       ) -> dict[str, str]:
        """Attaches the volume; one that is attached already stays so."""
        found = self._attachment(connection_properties)
        if found and found['state'] not in ('active', 'starting'):
            self._detach(connection_properties, 0)
            found = None
        if not found:
            found = self._api.call('POST', '/v1/attachments', {
                'volume': connection_properties['volume'],
                'transport': 'auto', 'persist': True})
        if 'link' not in found:
            raise Refused('busy', f'{connection_properties["volume"]} is '
                                  'exported to NBD clients of this host')
        return {'type': 'block', 'path': found['link']}

    @utils.trace
    @utils.connect_volume_undo_prepare_result(unlink_after=True)
    def disconnect_volume(self, connection_properties: Properties,
                          device_info: dict[str, str] | None,
                          force: bool = False,
                          ignore_errors: bool = False) -> None:
        """Detaches the volume; what is open is not taken away."""
        try:
            self._detach(connection_properties, api.LINGER_S)
        except Refused:
            if not (force and ignore_errors):
                raise

    @utils.trace
    @utils.connect_volume_undo_prepare_result
    def extend_volume(self, connection_properties: Properties) -> int:
        """The device's size in bytes: it grows with its volume."""
        found = self._attachment(connection_properties)
        if not found:
            raise exception.VolumePathsNotFound()
        return found['device_size']

    def get_volume_paths(self, connection_properties: Properties
                         ) -> list[str]:
        found = self._attachment(connection_properties)
        return [found['link']] if found and 'link' in found else []

    def get_search_path(self) -> None:
        return None

    def get_all_available_volumes(
            self, connection_properties: Properties | None = None
    ) -> list[str]:
        return [attachment['link'] for attachment
                in self._api.call('GET', '/v1/attachments')
                if 'link' in attachment]

    def _attachment(self, properties: Properties) -> Any:
        def look() -> Any:
            with api.absent():
                return self._api.call(
                    'GET', f'/v1/attachments/{properties["volume"]}')
            return None

        return api.settled(look)

    def _detach(self, properties: Properties, linger_s: float) -> None:
        path = f'/v1/attachments/{properties["volume"]}/detach'
        api.detached(lambda: self._api.call('POST', path, {}, long=True),
                     linger_s)
