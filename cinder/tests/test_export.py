"""Volumes for other hosts by a target of Cinder's, with a real daemon and real
devices. The target is Cinder's fake one, which says what LIO's would: LIO
wants a kernel that has it, as in tests/guest.py.
"""

import uuid

from cinder.db import api as db
from cinder import exception

from tests import daemon


def host(name):
    return {'host': name, 'initiator': f'iqn.{name}', 'ip': '192.0.2.1'}


class Exporting(daemon.DaemonCase):
    """With a driver that exports, used as Cinder's manager uses it."""

    GIVEN = {'restblk_export': 'target', 'target_helper': 'fake',
             'target_ip_address': '192.0.2.9'}

    def setUp(self):
        super().setUp()
        self.driver = self.start_driver(**self.GIVEN)
        patch = daemon.mock.patch.object(db, 'volume_get', lambda _ctxt, id: {
            'provider_auth': self.known[id].provider_auth})
        patch.start()
        self.addCleanup(patch.stop)
        self.known = {}

    def make(self, **fields):
        none = daemon.objects.VolumeAttachmentList(objects=[])
        volume = super().make(volume_attachment=none, **fields)
        self.known[volume.id] = volume
        return volume

    def attach(self, volume, connector):
        self.driver.validate_connector(connector)
        volume.update(self.driver.create_export(
            self.ctxt, volume, connector) or {})
        try:
            told = self.driver.initialize_connection(volume, connector)
        except Exception:
            self.driver.remove_export(self.ctxt, volume)
            raise
        self.attached.setdefault(volume.id, []).append(connector)
        return told

    def detach(self, volume, connector):
        if not self.driver.terminate_connection(volume, connector):
            self.driver.remove_export(self.ctxt, volume)
        self.attached[volume.id].remove(connector)

    def is_attached(self, volume):
        return self.pool.attachment(volume.name) is not None


class Exports(Exporting):
    def test_another_host_is_told_the_target(self):
        volume = self.make()
        told = self.attach(volume, host('compute1'))
        self.assertEqual('iscsi', told['driver_volume_type'])
        self.assertTrue(told['data']['target_iqn'].endswith(volume.name))
        self.assertEqual('CHAP', told['data']['auth_method'])
        self.assertTrue(self.is_attached(volume))
        self.detach(volume, host('compute1'))
        self.assertFalse(self.is_attached(volume))
        self.driver.delete_volume(volume)
        self.assertNotIn(volume.name, self.names())

    def test_it_grows_in_use(self):
        volume = self.make()
        self.attach(volume, host('compute1'))
        self.driver.extend_volume(volume, 2)
        self.assertEqual(2 * daemon.GIB, self.pool.attachment(
            volume.name)['device_size'])

    def test_statistics_tell_the_targets_protocol(self):
        self.assertEqual('iSCSI', self.driver.get_volume_stats(
            refresh=True)['storage_protocol'])

    def test_no_initiator(self):
        with self.assertRaises(exception.InvalidConnectorException):
            self.driver.validate_connector({'host': 'compute1'})

    def test_this_hosts_connectors_have_the_device(self):
        volume = self.make()
        told = self.attach(volume, self.HERE)
        self.assertEqual('local', told['driver_volume_type'])
        self.assertIsNone(volume.provider_location)
        self.detach(volume, self.HERE)
        self.assertFalse(self.is_attached(volume))

    def test_an_own_copy_beside_an_export(self):
        volume = self.make()
        self.attach(volume, host('compute1'))
        self.driver.initialize_connection(volume, self.HERE)
        self.driver.terminate_connection(volume, self.HERE)
        # Cinder does so after each copy of its own.
        self.driver.remove_export(self.ctxt, volume)
        self.assertTrue(self.is_attached(volume))
        with daemon.mock.patch.object(self.driver._exports._target,
                                      'remove_export') as removed:
            self.detach(volume, host('compute1'))
        removed.assert_called_once()
        self.assertFalse(self.is_attached(volume))

    def test_an_instance_moves_to_another_host(self):
        volume = self.make()
        self.attach(volume, host('compute1'))
        self.attach(volume, host('compute2'))
        with daemon.mock.patch.object(self.driver._exports._target,
                                      'terminate_connection') as ended:
            self.detach(volume, host('compute1'))
        ended.assert_called_once_with(volume, host('compute1'))
        self.assertTrue(self.is_attached(volume))
        self.detach(volume, host('compute2'))
        self.assertFalse(self.is_attached(volume))

    def test_force_detach_ends_all(self):
        volume = self.make()
        self.attach(volume, host('compute1'))
        self.assertFalse(self.driver.terminate_connection(volume, None))
        self.assertFalse(self.is_attached(volume))

    def test_what_fails_leaves_no_device(self):
        volume = self.make()
        for failing in ('create_iscsi_target', 'initialize_connection'):
            with daemon.mock.patch.object(
                    self.driver._exports._target, failing,
                    side_effect=exception.ISCSITargetCreateFailed(
                        volume_id=volume.id)):
                with self.assertRaises(exception.ISCSITargetCreateFailed):
                    self.attach(volume, host('compute1'))
            self.assertFalse(self.is_attached(volume), failing)

    def test_after_a_restart(self):
        volume = self.make()
        self.attach(volume, host('compute1'))
        self.volumes = [volume]
        self.pool.detach(volume.name)
        self.driver = self.start_driver(**self.GIVEN)
        target = self.driver._exports._target
        with daemon.mock.patch.object(target, 'create_iscsi_target') as made:
            self.driver.ensure_export(self.ctxt, volume)
        # With the secret that the initiator has.
        user, secret = volume.provider_auth.split(' ')[1:]
        self.assertEqual((user, secret), made.call_args.args[4])
        self.assertTrue(self.is_attached(volume))
        self.detach(volume, host('compute1'))
        self.assertFalse(self.is_attached(volume))

    def test_what_a_crash_left_goes(self):
        volume = self.make()
        volume.update(self.driver.create_export(
            self.ctxt, volume, host('compute1')))
        self.assertTrue(self.is_attached(volume))
        self.volumes = [volume]
        self.driver = self.start_driver(**self.GIVEN)
        self.assertFalse(self.is_attached(volume))

    def test_snapshots_are_read_here(self):
        volume = self.make()
        snapshot = self.snapshot(volume)
        self.driver.create_snapshot(snapshot)
        with self.assertRaises(exception.InvalidConnectorException):
            self.driver.initialize_connection_snapshot(
                snapshot, host('compute1'))

    def test_a_managed_volume_keeps_its_name(self):
        name = f'old-{uuid.uuid4().hex}'
        self.pool.create(name, daemon.GIB, 'log')
        volume = self.volume()
        self.known[volume.id] = volume
        volume.update(self.driver.manage_existing(
            volume, {'source-name': name}))
        self.attach(volume, host('compute1'))
        self.assertIsNotNone(self.pool.attachment(name))
        self.detach(volume, host('compute1'))
        self.assertIsNone(self.pool.attachment(name))
