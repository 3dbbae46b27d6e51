"""Volumes through os-brick, in a guest: as a device of the same host, and by
LIO's iSCSI target as another host has them. tests/e2e/guest/cinder-export.sh
runs it, for it wants a kernel with the target, an initiator, and nobody else
on the machine.
"""

import contextlib
import os
import pathlib
import unittest

from os_brick.initiator import connector
from os_brick import privileged
from oslo_rootwrap import wrapper

from cinder import exception
from cinder import privsep
from cinder import utils

from tests import daemon
from tests import test_brick
from tests import test_export

GIB = daemon.GIB
# Of rootwrap.conf.
EXEC_DIRS = ['/sbin', '/usr/sbin', '/bin', '/usr/bin']
ROOT_HELPER = 'sudo cinder-rootwrap /etc/cinder/rootwrap.conf'
# We are root: what these run is run by this process.
for privileges in (privileged.default, privsep.sys_admin_pctxt):
    privileges.set_client_mode(False)


def put(path, text, offset=0):
    with open(path, 'r+b', buffering=0) as device:
        device.seek(offset)
        device.write(text)
        os.fsync(device.fileno())


class Attachments(test_export.Exporting):
    GIVEN = {'restblk_export': 'target', 'target_helper': 'lioadm',
             'target_ip_address': '127.0.0.1', 'restblk_transport':
             os.environ.get('TRANSPORT', 'ublk')}

    def connector_of(self, host: str) -> dict:
        """What os-brick tells of this machine, under another host's name."""
        return connector.get_connector_properties(
            ROOT_HELPER, '127.0.0.1', False, False, host=host)

    @contextlib.contextmanager
    def connected(self, volume, host):
        """The volume's path on a host, and how it is extended there."""
        properties = self.connector_of(host)
        told = self.attach(volume, properties)
        brick = connector.InitiatorConnector.factory(
            told['driver_volume_type'].upper(), ROOT_HELPER)
        found = brick.connect_volume(told['data'])
        if told['driver_volume_type'] == 'iscsi':
            self.link(told['data'], found['path'])
        try:
            yield found['path'], lambda: brick.extend_volume(told['data'])
        finally:
            brick.disconnect_volume(told['data'], found)
            self.detach(volume, properties)

    def link(self, data, path):
        """By which os-brick finds the device again; there is no udev."""
        by_path = pathlib.Path('/dev/disk/by-path')
        by_path.mkdir(parents=True, exist_ok=True)
        link = by_path / (f'ip-{data["target_portal"]}-iscsi-'
                          f'{data["target_iqn"]}-lun-{data["target_lun"]}')
        link.symlink_to(path)
        self.addCleanup(link.unlink)

    def got(self, path, length, offset):
        with open(path, 'rb', buffering=0) as device:
            # What another path wrote is not in this one's cache.
            os.posix_fadvise(device.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            device.seek(offset)
            return device.read(length)

    def test_on_the_same_host(self):
        volume = self.make()
        text = os.urandom(1 << 20)
        with self.connected(volume, 'here') as (path, _extend):
            self.assertEqual(f'{self.daemon.folder}/dev/main/{volume.name}',
                             path)
            put(path, text, 0)
        self.assertFalse(self.is_attached(volume))
        with self.connected(volume, 'here') as (path, _extend):
            self.assertEqual(text, self.got(path, len(text), 0))
        self.driver.delete_volume(volume)

    def test_on_another_host(self):
        volume = self.make()
        text = os.urandom(1 << 20)
        with self.connected(volume, 'compute1') as (path, extend):
            self.assertRegex(path, '^/dev/sd[a-z]+$')
            model = pathlib.Path('/sys/block', path[5:], 'device/vendor')
            self.assertEqual('LIO-ORG', model.read_text().strip())
            put(path, text, 0)
            # Cinder's own copy beside it sees what was written.
            with self.device(volume) as beside:
                self.assertEqual(text, self.got(beside, len(text), 0))
            self.driver.remove_export(self.ctxt, volume)
            self.driver.extend_volume(volume, 2)
            self.assertEqual(2 * GIB, extend())
            put(path, text, 2 * GIB - len(text))
            # An instance moves: the first host goes, the second one stays.
            properties = self.connector_of('compute2')
            self.attach(volume, properties)
            self.assertEqual(text, self.got(path, len(text), 0))
            self.detach(volume, properties)
            self.assertTrue(self.is_attached(volume))
        self.assertFalse(self.is_attached(volume))
        self.assertNotIn(volume.name, self.driver._exports._target.
                         _get_targets())
        self.assertEqual(text, self.read(volume, len(text),
                                         2 * GIB - len(text)))
        self.driver.delete_volume(volume)

    def test_another_host_goes_on_after_a_restart_of_cinder_volume(self):
        volume = self.make()
        text = os.urandom(4096)
        with self.connected(volume, 'compute1') as (path, _extend):
            put(path, text, 0)
            self.volumes = [volume]
            self.driver = self.start_driver(**self.GIVEN)
            self.driver.ensure_export(self.ctxt, volume)
            put(path, text, GIB - len(text))
        self.assertFalse(self.is_attached(volume))
        self.assertEqual(text, self.read(volume, len(text), GIB - len(text)))
        self.driver.delete_volume(volume)


class ThinSnapshots(daemon.DaemonCase):
    """Direct volumes with snapshots by LVM."""

    LAYOUT = 'direct'
    GIVEN = {'restblk_snapshots': 'lvm_thin', 'restblk_transport':
             os.environ.get('TRANSPORT', 'ublk')}
    FILTERS = wrapper.load_filters(
        [str(pathlib.Path(__file__).parents[1] / 'rootwrap.d')])

    def setUp(self):
        super().setUp()
        self.driver = self.start_driver(**self.GIVEN)

    def start_driver(self, **given):
        def execute(*command, **options):
            wrapper.match_filter(self.FILTERS, list(command), EXEC_DIRS)
            return utils.execute(*command, **options)

        made = super().start_driver(**given)
        if made._thin:
            made._thin._execute = execute
        return made

    def nodes(self, volume):
        return sorted(os.listdir(f'/dev/restblk-{volume.name}'))

    def test_a_volumes_life(self):
        volume, text = self.make(), os.urandom(1 << 20)
        snapshot = self.snapshot(volume)
        self.assertFalse(self.pool.attachment(volume.name))
        self.write(volume, text, GIB - len(text))
        self.driver.create_snapshot(snapshot)
        self.write(volume, b'later', GIB - len(text))
        self.assertEqual(b'later', self.read(volume, 5, GIB - len(text)))
        self.assertEqual(text, self.read(snapshot, len(text),
                                         GIB - len(text)))
        # In use, with both read at a time.
        with self.device(volume) as path, self.device(snapshot) as before:
            self.assertNotEqual(path, before)
            self.driver.extend_volume(volume, 2)
            with open(path, 'rb') as device:
                self.assertEqual(2 * GIB, device.seek(0, os.SEEK_END))
            with open(before, 'rb') as device:
                self.assertEqual(GIB, device.seek(0, os.SEEK_END))
            second = self.snapshot(volume)
            self.driver.create_snapshot(second)
        self.assertFalse(self.pool.attachment(volume.name))
        self.assertGreaterEqual(self.pool.volume(volume.name)['size'], 4 * GIB)
        # A volume of each, larger than its snapshot and not.
        copy, larger = self.volume(1), self.volume(3)
        self.driver.create_volume_from_snapshot(copy, snapshot)
        self.driver.create_volume_from_snapshot(larger, second)
        self.assertEqual(text, self.read(copy, len(text), GIB - len(text)))
        self.assertEqual(b'later', self.read(larger, 5, GIB - len(text)))
        clone = self.volume(2)
        with self.device(volume):
            self.driver.create_cloned_volume(clone, volume)
            self.assertEqual(['volume'], self.nodes(volume)[-1:])
        self.assertEqual(b'later', self.read(clone, 5, GIB - len(text)))
        for taken in (snapshot, second, second):
            self.driver.delete_snapshot(taken)
        for taken in (volume, copy, larger, clone):
            self.driver.delete_volume(taken)
            self.assertNotIn(taken.name, self.names())
            self.assertFalse(os.path.exists(f'/dev/restblk-{taken.name}'))

    def test_what_is_open_stays(self):
        volume = self.make()
        path = self.driver.initialize_connection(
            volume, self.HERE)['data']['device_path']
        with open(path, 'rb'):
            with daemon.mock.patch('restblk_brick.api.LINGER_S', 0):
                with self.assertRaisesRegex(daemon.client.ApiError, 'in use'):
                    self.driver.terminate_connection(volume, self.HERE)
                with self.assertRaises(exception.VolumeIsBusy):
                    self.driver.delete_volume(volume)
        self.driver.terminate_connection(volume, self.HERE)
        self.driver.delete_volume(volume)

    def test_what_a_crash_left_goes(self):
        volume = self.make()
        self.driver.initialize_connection(volume, self.HERE)
        self.volumes = [volume]
        self.driver = self.start_driver(**self.GIVEN)
        self.assertFalse(self.pool.attachment(volume.name))
        # Half-made: there is no group yet.
        half = self.volume()
        self.pool.create(half.name, GIB, 'direct')
        self.pool.attach(half.name, self.GIVEN['restblk_transport'])
        for taken in (half, volume):
            self.driver.delete_volume(taken)

    def test_a_daemon_that_is_restarted_keeps_the_group(self):
        volume, text = self.make(), os.urandom(4096)
        with self.device(volume) as path:
            self.daemon.stop()
            self.daemon.start()
            put(path, text)
            self.driver.create_snapshot(self.snapshot(volume))
        self.assertEqual(text, self.read(volume, len(text)))


class OwnDaemons(test_brick.OtherHosts):
    """The same as where there is loop alone, and by which driver."""

    # Two minutes for the imports of Nova.
    test_novas_driver = None

    def test_the_kernel_has_the_device_by_ublk(self):
        volume = self.make()
        properties, found = self.connect(volume)
        self.assertRegex(os.path.realpath(found['path']), '^/dev/ublkb[0-9]+$')
        self.disconnect(volume, properties, found)


if __name__ == '__main__':
    unittest.main(verbosity=2)
