"""What nova-compute does with a volume, by the classes that it does it with;
a process of its own, because Nova's options and Cinder's exclude each other.

Prints the disk's XML as libvirt would have it, and the size told to QEMU.
"""

import json
import sys
from unittest import mock

from restblk_brick import hook
from restblk_brick import nova

hook.register()
told = json.loads(sys.argv[1])
# The bindings of libvirt, which are asked for secrets of encrypted disks.
libvirt = mock.Mock()
libvirt.find_secret.return_value = None
driver = nova.LibvirtRestblkVolumeDriver(libvirt)
driver.connect_volume(told, None)
disk = {'type': 'disk', 'dev': 'vdb', 'bus': 'virtio'}
print(driver.get_config(told, disk).to_xml())
print('size', driver.extend_volume(told, None, 0))
driver.disconnect_volume(told, None)
