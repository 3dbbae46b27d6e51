"""Nova's volume driver of restblk, for libvirt: a block device of the compute
host, attached by the host's own daemon.
"""

from __future__ import annotations

from typing import Any

from nova import utils
from nova.virt.libvirt.volume import volume
from os_brick.initiator import connector as brick

from restblk_brick import hook

Info = dict[str, Any]


class LibvirtRestblkVolumeDriver(volume.LibvirtVolumeDriver):
    """Attaches by os-brick's connector of restblk."""

    def __init__(self, host: Any) -> None:
        super().__init__(host)
        self.connector = brick.InitiatorConnector.factory(
            hook.PROTOCOL, utils.get_root_helper())

    def get_config(self, connection_info: Info, disk_info: Info) -> Any:
        conf = super().get_config(connection_info, disk_info)
        conf.driver_io = 'native'
        return conf

    def connect_volume(self, connection_info: Info, instance: Any) -> None:
        found = self.connector.connect_volume(connection_info['data'])
        connection_info['data']['device_path'] = found['path']

    def disconnect_volume(self, connection_info: Info, instance: Any,
                          force: bool = False) -> None:
        self.connector.disconnect_volume(connection_info['data'], None,
                                         force=force)

    def extend_volume(self, connection_info: Info, instance: Any,
                      requested_size: int) -> int:
        return self.connector.extend_volume(connection_info['data'])
