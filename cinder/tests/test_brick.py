"""Volumes on compute hosts by daemons of their own: two daemons on one store,
os-brick's factory, Nova's class, the hook that tells both.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

from os_brick.initiator import connector as brick

from cinder import exception

from restblk_brick import connector
from restblk_brick import hook
from restblk_cinder import client
from tests import daemon

hook.register()


def host(name):
    return {'host': name, 'ip': '192.0.2.1', 'restblk': True}


class OtherHosts(daemon.DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.compute = daemon.Daemon(daemon.shared().url)
        cls.addClassCleanup(cls.compute.end)

    def setUp(self):
        super().setUp()
        self.driver = self.start_driver(restblk_export='daemon')
        patch = mock.patch.dict(
            os.environ, RESTBLK_SOCKET=str(self.compute.socket))
        patch.start()
        self.addCleanup(patch.stop)
        self.brick = brick.InitiatorConnector.factory('restblk', 'sudo')

    def connect(self, volume, name='compute1'):
        self.driver.validate_connector(host(name))
        self.assertIsNone(self.driver.create_export(
            self.ctxt, volume, host(name)))
        told = self.driver.initialize_connection(volume, host(name))
        self.assertEqual('restblk', told['driver_volume_type'])
        found = self.brick.connect_volume(told['data'])
        self.attached.setdefault(volume.id, []).append(host(name))
        return told['data'], found

    def disconnect(self, volume, properties, found, name='compute1'):
        self.brick.disconnect_volume(properties, found)
        self.assertFalse(self.driver.terminate_connection(volume, host(name)))
        self.attached[volume.id].remove(host(name))

    def test_a_volume_is_the_compute_hosts_device(self):
        volume = self.make()
        text = os.urandom(1 << 20)
        properties, found = self.connect(volume)
        link = f'{self.compute.folder}/dev/main/{volume.name}'
        self.assertEqual({'type': 'block', 'path': link}, found)
        self.assertIsNone(self.pool.attachment(volume.name))
        with open(link, 'r+b') as device:
            device.write(text)
            device.flush()
            os.fsync(device.fileno())
        self.assertEqual([link], self.brick.get_volume_paths(properties))
        self.assertEqual([link], self.brick.get_all_available_volumes())
        self.assertEqual(daemon.GIB, self.brick.extend_volume(properties))
        # Asked again, as when a host's instances start.
        self.assertEqual(found, self.brick.connect_volume(properties))
        self.disconnect(volume, properties, found)
        self.assertEqual([], self.brick.get_volume_paths(properties))
        self.brick.disconnect_volume(properties, found)
        self.assertEqual(text, self.read(volume, len(text)))
        self.driver.delete_volume(volume)

    def test_one_host_at_a_time(self):
        volume = self.make()
        properties, found = self.connect(volume)
        with self.assertRaisesRegex(client.ApiError, 'attached to compute1'):
            self.driver.initialize_connection(volume, host('compute2'))
        # Nor does this host's daemon take it, for copies of Cinder's.
        with self.assertRaises(client.ApiError) as refused:
            self.driver.initialize_connection(volume, self.HERE)
        self.assertEqual('busy', refused.exception.kind)
        with self.assertRaises(client.ApiError) as refused:
            self.driver.create_snapshot(self.snapshot(volume))
        self.assertEqual('busy', refused.exception.kind)
        self.disconnect(volume, properties, found)
        # The other way round the host that asks is told.
        with self.device(volume):
            told = self.driver.initialize_connection(volume, host('compute1'))
            with self.assertRaises(connector.Refused) as refused:
                self.brick.connect_volume(told['data'])
            self.assertEqual('busy', refused.exception.kind)

    def test_what_is_open_is_not_taken_away(self):
        volume = self.make()
        properties, found = self.connect(volume)
        with mock.patch('restblk_brick.api.LINGER_S', 0):
            with open(found['path'], 'rb'):
                with self.assertRaisesRegex(connector.Refused, 'open'):
                    self.brick.disconnect_volume(properties, found)
                self.brick.disconnect_volume(properties, found, force=True,
                                             ignore_errors=True)
        self.disconnect(volume, properties, found)

    def test_the_daemon_of_a_host_is_down(self):
        volume = self.make()
        properties, found = self.connect(volume)
        self.disconnect(volume, properties, found)
        with mock.patch.dict(os.environ, RESTBLK_SOCKET='/nonexistent'), \
                mock.patch('restblk_brick.api.RESTART_S', 0):
            other = brick.InitiatorConnector.factory('restblk', 'sudo')
            with self.assertRaisesRegex(connector.Refused, '/nonexistent'):
                other.connect_volume(properties)

    def test_after_a_restart_of_cinder_volume(self):
        volume = self.make()
        properties, found = self.connect(volume)
        self.volumes = [volume]
        self.driver = self.start_driver(restblk_export='daemon')
        self.driver.ensure_export(self.ctxt, volume)
        self.assertIsNone(self.pool.attachment(volume.name))
        self.disconnect(volume, properties, found)

    def test_hosts_without_the_connector_are_refused(self):
        with self.assertRaises(exception.InvalidConnectorException):
            self.driver.validate_connector({'host': 'compute1'})
        self.driver.validate_connector(self.HERE)

    def test_it_cannot_grow_in_use(self):
        stats = self.driver.get_volume_stats(refresh=True)
        self.assertFalse(stats['pools'][0]['online_extend_support'])

    def test_novas_driver(self):
        volume = self.make()
        told = self.driver.initialize_connection(volume, host('compute1'))
        told['serial'] = volume.id
        done = python('-m', 'tests.nova_host', json.dumps(told))
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn(f'<source dev="{self.compute.folder}/dev/main/'
                      f'{volume.name}"/>', done.stdout)
        self.assertIn('io="native"', done.stdout)
        self.assertIn(f'\nsize {daemon.GIB}\n', done.stdout)
        self.assertEqual([], self.brick.get_volume_paths(told['data']))


def python(*arguments):
    """A process of its own, with the modules of this one."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', *arguments], capture_output=True,
        text=True, check=False)


class Registered(daemon.unittest.TestCase):
    def test_os_brick_knows_it(self):
        # The others ask the machine by commands, as root.
        quiet = [of for of in brick.unix_connector_list
                 if 'local' in of or 'restblk' in of]
        with mock.patch.object(brick, 'unix_connector_list', quiet):
            told = brick.get_connector_properties('sudo', '192.0.2.1', False,
                                                  False, host='compute1')
        self.assertTrue(told['restblk'])

    def test_the_hook_alone_imports_nothing(self):
        done = python('-c', 'import sys, restblk_brick.hook\n'
                      'print("os_brick" in sys.modules)')
        self.assertEqual('False\n', done.stdout, done.stderr)

    def test_the_hook_comes_first_or_last(self):
        os_brick = 'import os_brick.initiator.connector as c\n'
        ours = 'import restblk_brick.hook\n'
        for order in (os_brick + ours, ours + os_brick):
            done = python('-c', order + 'print(c.get_connector_mapping()'
                          '["RESTBLK"])')
            self.assertEqual(hook.CONNECTOR + '\n', done.stdout, done.stderr)

    def test_novas_table(self):
        with tempfile.TemporaryDirectory() as folder:
            # As in Nova, whose module imports libvirt's bindings.
            path = pathlib.Path(folder, 'nova', 'virt', 'libvirt')
            path.mkdir(parents=True)
            (path / 'driver.py').write_text('VOLUME_DRIVERS = {}\n')
            done = python(
                '-c', 'import sys; sys.path.append(sys.argv[1])\n'
                      'import restblk_brick.hook\n'
                      'import nova.virt.libvirt.driver as d\n'
                      'print(d.VOLUME_DRIVERS["restblk"])', folder)
            self.assertEqual('restblk_brick.nova.LibvirtRestblkVolumeDriver\n',
                             done.stdout, done.stderr)

    def test_a_package_that_is_not_installed_is_not_registered(self):
        done = python('-m', 'restblk_brick.register')
        self.assertEqual(1, done.returncode)
        self.assertIn('install the package with pip', done.stderr)
