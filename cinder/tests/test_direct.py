"""The driver on direct volumes: what they can, and how the rest is refused."""

from cinder import exception
from os_brick import privileged

from tests import daemon

GIB = daemon.GIB


class Direct(daemon.DaemonCase):
    LAYOUT = 'direct'

    def test_a_volumes_life(self):
        volume = self.make()
        self.write(volume, b'first', GIB - 5)
        with self.device(volume):
            self.driver.extend_volume(volume, 2)
        self.assertEqual(b'first', self.read(volume, 5, GIB - 5))
        raw = next(self.daemon.folder.glob(f'store/**/{volume.name}'))
        self.assertEqual(2 * GIB, raw.stat().st_size)
        self.driver.delete_volume(volume)
        self.assertFalse(raw.exists())

    def test_what_direct_volumes_cannot(self):
        volume = self.make()
        snapshot = self.snapshot(volume)
        for refused in (
                lambda: self.driver.create_snapshot(snapshot),
                lambda: self.driver.create_volume_from_snapshot(
                    self.volume(), snapshot)):
            with self.assertRaisesRegex(exception.VolumeDriverException,
                                        'restblk_layout = log'):
                refused()
        # Cinder's record of the snapshot that failed can be deleted.
        self.driver.delete_snapshot(snapshot)
        self.attached[volume.id] = [self.HERE]
        with self.assertRaisesRegex(exception.InvalidVolume, 'detach it'):
            self.driver.create_cloned_volume(self.volume(), volume)
        self.assertFalse(self.driver.backup_use_temp_snapshot())
        self.assertEqual((None, False), self.driver.clone_image(
            self.ctxt, self.volume(), None, {'id': 'i'}, None))

    def test_snapshots_by_lvm_want_lvm(self):
        failing = daemon.mock.Mock(side_effect=FileNotFoundError('sudo'))
        driver = daemon.make_driver(
            str(self.daemon.socket), restblk_layout='direct',
            restblk_snapshots='lvm_thin')
        driver._execute = failing
        driver.do_setup(self.ctxt)
        with self.assertRaisesRegex(exception.VolumeDriverException,
                                    'restblk.filters'):
            driver.check_for_setup_error()
        for other in ({'restblk_layout': 'log'},
                      {'restblk_export': 'daemon'}):
            with self.assertRaises(exception.InvalidConfigurationValue):
                self.start_driver(restblk_snapshots='lvm_thin', **other)

    def test_cloned_by_copying(self):
        """With Cinder's dd, which as root needs no helper."""
        privileged.default.set_client_mode(False)
        source, copy = self.make(), self.volume(2)
        self.write(source, b'copied', GIB - 4096)
        self.driver.create_cloned_volume(copy, source)
        self.assertEqual(b'copied', self.read(copy, 6, GIB - 4096))
        for volume in (source, copy):
            self.assertIsNone(self.pool.attachment(volume.name))

    def test_statistics(self):
        stats = self.driver.get_volume_stats(refresh=True)['pools'][0]
        self.assertEqual((False, 'direct'), (
            stats['thin_provisioning_support'], stats['restblk_layout']))
