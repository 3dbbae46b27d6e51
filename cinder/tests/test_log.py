"""The driver on log volumes, with a real daemon and real devices."""

import os
import subprocess
import uuid

from oslo_utils import timeutils

from cinder import exception

from restblk_cinder import agree
from restblk_cinder import client
from restblk_cinder import names
from tests import daemon

GIB = daemon.GIB


class Volumes(daemon.DaemonCase):
    def test_a_volumes_life(self):
        volume = self.make()
        self.write(volume, b'first')
        self.driver.extend_volume(volume, 3)
        # Again, as after a crash between the daemon's answer and Cinder's.
        self.driver.extend_volume(volume, 3)
        self.assertEqual(3 * GIB, self.pool.volume(volume.name)['size'])
        self.assertEqual(b'first', self.read(volume, 5))
        self.driver.delete_volume(volume)
        self.assertNotIn(volume.name, self.names())
        self.driver.delete_volume(volume)

    def test_extended_while_attached(self):
        volume = self.make()
        with self.device(volume) as path:
            self.driver.extend_volume(volume, 2)
            fd = os.open(path, os.O_RDONLY)
            self.assertEqual(2 * GIB, os.lseek(fd, 0, os.SEEK_END))
            os.close(fd)

    def test_a_volume_of_the_same_name_is_not_touched(self):
        volume = self.make()
        self.write(volume, b'mine')
        with self.assertRaises(client.ApiError):
            self.driver.create_volume(volume)
        self.assertEqual(b'mine', self.read(volume, 4))

    def test_what_fails_half_way_leaves_nothing(self):
        source = self.make()
        snapshot = self.snapshot(source)
        self.driver.create_snapshot(snapshot)
        volume = self.volume(1)
        with daemon.mock.patch.object(self.driver, '_grow',
                                      side_effect=client.ApiError('x', 'x')):
            with self.assertRaises(client.ApiError):
                self.driver.create_volume_from_snapshot(volume, snapshot)
        self.assertNotIn(volume.name, self.names())

    def test_types(self):
        self.types['slow'] = {
            'extra_specs': {'restblk:durability': 'remote'},
            'qos': {'consumer': 'back-end',
                    'specs': {'total_iops_sec': '50'}}}
        self.types['scaled'] = {
            'qos': {'consumer': 'back-end',
                    'specs': {'total_bytes_sec_per_gb': '1048576'}}}
        volume = self.make(volume_type_id='slow')
        kept = self.pool.volume(volume.name)
        self.assertEqual(('remote', {'iops': 50}),
                         (kept['durability'], kept['rate_limits']))
        here = {'capabilities':
                {'location_info': self.driver._location()}}
        retyped = self.driver.retype(
            self.ctxt, volume, daemon.objects.VolumeType(id='scaled'), {},
            here)
        self.assertEqual((True, None), retyped)
        volume.volume_type_id = 'scaled'
        kept = self.pool.volume(volume.name)
        self.assertEqual(('local', {'bytes_per_s': 1 << 20}),
                         (kept['durability'], kept['rate_limits']))
        self.driver.extend_volume(volume, 2)
        self.assertEqual({'bytes_per_s': 2 << 20},
                         self.pool.volume(volume.name)['rate_limits'])
        clone = self.volume(2, volume_type_id='slow')
        self.driver.create_cloned_volume(clone, volume)
        self.assertEqual({'iops': 50},
                         self.pool.volume(clone.name)['rate_limits'])

    def test_retype_elsewhere_is_a_migration(self):
        volume = self.make()
        there = {'capabilities': {'location_info': 'restblk:other:main:log'}}
        self.assertEqual((False, None), self.driver.retype(
            self.ctxt, volume, daemon.objects.VolumeType(id='t'), {}, there))
        self.assertEqual((False, None), self.driver.migrate_volume(
            self.ctxt, volume, there))

    def test_between_back_ends_of_one_pool_nothing_moves(self):
        volume = self.make()
        self.write(volume, b'here')
        other = self.start_driver()
        other.get_volume_stats(refresh=True)
        host = {'capabilities': other._stats['pools'][0]}
        self.assertEqual((True, None), self.driver.migrate_volume(
            self.ctxt, volume, host))
        self.driver = other
        self.assertEqual(b'here', self.read(volume, 4))
        other.delete_volume(volume)


class Snapshots(daemon.DaemonCase):
    def test_snapshots_and_what_is_made_of_them(self):
        volume = self.make()
        self.write(volume, b'before')
        snapshot = self.snapshot(volume)
        self.driver.create_snapshot(snapshot)
        self.write(volume, b'after.')
        larger = self.volume(2)
        self.driver.create_volume_from_snapshot(larger, snapshot)
        self.assertEqual(b'before', self.read(larger, 6))
        self.assertEqual(2 * GIB, self.pool.volume(larger.name)['size'])
        self.assertEqual(b'before', self.read(snapshot, 6))
        # Cinder's order: the snapshot goes while a volume reads from it.
        self.driver.delete_snapshot(snapshot)
        self.driver.delete_snapshot(snapshot)
        self.assertEqual([], self.pool.snapshots(volume.name))
        self.assertEqual(b'before', self.read(larger, 6))
        self.assertEqual(b'after.', self.read(volume, 6))

    def test_of_an_attached_volume(self):
        volume = self.make()
        with self.device(volume) as path:
            fd = os.open(path, os.O_RDWR)
            os.pwrite(fd, b'attached', 0)
            os.fsync(fd)
            snapshot = self.snapshot(volume)
            self.driver.create_snapshot(snapshot)
            clone = self.volume()
            self.driver.create_cloned_volume(clone, volume)
            self.assertEqual(b'attached', self.read(snapshot, 8))
            self.assertEqual(b'attached', self.read(clone, 8))
            os.close(fd)

    def test_revert(self):
        volume = self.make()
        self.write(volume, b'before')
        snapshot = self.snapshot(volume)
        self.driver.create_snapshot(snapshot)
        self.write(volume, b'after.')
        self.driver.revert_to_snapshot(self.ctxt, volume, snapshot)
        self.assertEqual(b'before', self.read(volume, 6))
        self.assertFalse(self.driver.snapshot_revert_use_temp_snapshot())
        # One that was made before the volume grew: Cinder's size stays.
        self.driver.extend_volume(volume, 2)
        volume.size = 2
        self.driver.revert_to_snapshot(self.ctxt, volume, snapshot)
        self.assertEqual(2 * GIB, self.pool.volume(volume.name)['size'])

    def test_a_snapshot_in_use_is_busy(self):
        volume = self.make()
        snapshot = self.snapshot(volume)
        self.driver.create_snapshot(snapshot)
        with self.device(snapshot) as path:
            with open(path, 'rb'), daemon.mock.patch(
                    'restblk_brick.api.LINGER_S', 0):
                with self.assertRaises(exception.SnapshotIsBusy):
                    self.driver.delete_snapshot(snapshot)
        self.driver.delete_snapshot(snapshot)


class Groups(daemon.DaemonCase):
    def test_snapshots_of_one_moment_or_none(self):
        volumes = [self.make(), self.make()]
        for volume in volumes:
            self.write(volume, b'before')
        snapshots = [self.snapshot(volume) for volume in volumes]
        group, updates = self.driver.create_group_snapshot(
            self.ctxt, None, snapshots)
        self.assertEqual('available', group['status'])
        self.assertEqual([snapshot.id for snapshot in snapshots],
                         [update['id'] for update in updates])
        for volume, snapshot in zip(volumes, snapshots):
            self.write(volume, b'after.')
            self.assertEqual(b'before', self.read(snapshot, 6))
        # The second one exists: the first is not made either.
        again = [self.snapshot(volumes[0]), snapshots[1]]
        with self.assertRaises(client.ApiError):
            self.driver.create_group_snapshot(self.ctxt, None, again)
        self.assertEqual([snapshots[0].name], [
            made['name'] for made in self.pool.snapshots(volumes[0].name)])

    def test_a_group_from_a_group(self):
        sources = [self.make(), self.make()]
        for source in sources:
            self.write(source, b'source')
        made = [self.volume(2, source_volid=source.id) for source in sources]
        group = daemon.objects.Group(self.ctxt, id=str(uuid.uuid4()))
        model, updates = self.driver.create_group_from_src(
            self.ctxt, group, made, source_vols=sources)
        self.assertEqual(('available', ['available'] * 2), (
            model['status'], [update['status'] for update in updates]))
        for volume in made:
            self.assertEqual(b'source', self.read(volume, 6))
        for source in sources:
            self.assertEqual([], self.pool.snapshots(source.name))

    def test_of_snapshots_cinder_makes_it(self):
        volume = self.make()
        with self.assertRaises(NotImplementedError):
            self.driver.create_group_from_src(
                self.ctxt, None, [volume], snapshots=[self.snapshot(volume)])


class Clones(daemon.DaemonCase):
    def test_deleted_in_any_order(self):
        first = self.make()
        self.write(first, b'origin')
        second, third = self.volume(), self.volume(2)
        self.driver.create_cloned_volume(second, first)
        self.driver.create_cloned_volume(third, second)
        self.assertEqual([], self.pool.snapshots(first.name))
        self.driver.delete_volume(first)
        self.driver.delete_volume(second)
        self.assertEqual(b'origin', self.read(third, 6))
        # Neither is offered, and both names are free.
        self.assertEqual(set(), {first.name, second.name} & self.names())
        with self.assertRaises(exception.ManageExistingInvalidReference):
            self.driver.manage_existing(self.volume(),
                                        {'source-name': first.name})
        # In the same second, in any order.
        self.assertCountEqual([first.name, second.name], self.trash())
        self.driver.delete_volume(third)
        self.wait_for(lambda: not self.trash(), 'an empty trash')
        self.assertNotIn(third.name, self.names())

    def test_an_interrupted_clone_does_not_hold_its_source(self):
        volume = self.make()
        self.pool.make_snapshot(volume.name,
                                names.CLONE_PREFIX + 'volume-of-old')
        self.driver.delete_volume(volume)
        self.assertNotIn(volume.name, self.names())

    def test_strange_snapshots_keep_their_volume_in_the_trash(self):
        volume = self.make()
        self.write(volume, b'theirs')
        self.pool.make_snapshot(volume.name, 'by-hand')
        with self.assertLogs('restblk_cinder.driver', 'WARNING') as told:
            self.driver.delete_volume(volume)
        self.assertIn('by-hand', told.output[0])
        self.assertNotIn(volume.name, self.names())
        self.assertIn(volume.name, self.trash())
        entry = next(entry for entry
                     in self.daemon.api.call('GET', '/v1/trash/main')
                     if entry['volume'].endswith(volume.name))
        kept = [timeutils.parse_isotime(entry[when])
                for when in ('deleted_at', 'kept_until')]
        self.assertEqual(7, (kept[1] - kept[0]).days)
        self.daemon.api.call(
            'POST', f'/v1/trash/main/{entry["id"]}/restore', {})
        self.assertEqual(b'theirs', self.read(volume, 6))

    def test_what_was_cut_off_can_be_deleted(self):
        """A daemon that died in the midst of a create or a delete."""
        stay = {'id': str(uuid.uuid4()), 'since': '2026-01-01T00:00:00Z',
                'until': '2026-01-01T00:00:00Z'}
        for state in ({'state': 'creating'}, {'state': 'deleting'},
                      {'state': 'trashing', 'trash': stay}):
            by_cinder, by_hand = self.make(), self.make()
            for volume in (by_cinder, by_hand):
                self.daemon.rewrite(volume.name, state)
            self.driver.delete_volume(by_cinder)
            # As restblk delete does it.
            self.daemon.api.call(
                'DELETE', f'/v1/volumes/main/{by_hand.name}?now=true')
            self.assertFalse({by_cinder.name, by_hand.name} & self.names())
            self.assertFalse({by_cinder.name, by_hand.name}
                             & set(self.trash()))

    def test_flattened(self):
        made = self.start_driver(restblk_flatten_clones=True)
        volume, clone = self.make(), self.volume()
        self.write(volume, b'copied')
        made.create_cloned_volume(clone, volume)
        made.delete_volume(volume)
        self.assertNotIn(volume.name, self.names())
        self.assertEqual(b'copied', self.read(clone, 6))

    def test_images_in_the_pool(self):
        image = {'id': str(uuid.uuid4())}
        volume = self.volume()
        ask = (self.ctxt, volume, None, image, None)
        self.assertEqual((None, False), self.driver.clone_image(*ask))
        self.pool.create('image-' + image['id'], GIB, 'log')
        self.assertEqual((None, False), self.driver.clone_image(*ask))
        self.pool.make_snapshot('image-' + image['id'], 'image')
        self.assertTrue(self.driver.clone_image(*ask)[1])
        self.assertIn(volume.name, self.names())


class Managed(daemon.DaemonCase):
    def listed(self, cinders=()):
        return {e['reference']['source-name']: e for e in
                self.driver.get_manageable_volumes(
                    list(cinders), None, 1000, 0, ['size'], ['asc'])}

    def test_manage_and_unmanage(self):
        name = f'disk-{uuid.uuid4().hex[:8]}'
        self.pool.create(name, GIB + 4096, 'log')
        entry = self.listed()[name]
        self.assertEqual((True, 2), (entry['safe_to_manage'], entry['size']))
        volume, ref = self.volume(2), {'source-name': name}
        self.assertEqual(2, self.driver.manage_existing_get_size(volume, ref))
        volume.update(self.driver.manage_existing(volume, ref))
        self.volumes = [volume]
        self.write(volume, b'managed')
        entry = self.listed([volume])[name]
        self.assertEqual((False, volume.id),
                         (entry['safe_to_manage'], entry['cinder_id']))
        with self.assertRaisesRegex(exception.ManageExistingInvalidReference,
                                    'already managed'):
            self.driver.manage_existing(self.volume(2), ref)
        self.driver.unmanage(volume)
        self.volumes = []
        again = self.volume(2)
        again.update(self.driver.manage_existing(again, ref))
        self.assertEqual(b'managed', self.read(again, 7))
        self.driver.delete_volume(again)
        self.assertNotIn(name, self.names())

    def test_what_cannot_be_managed(self):
        self.pool.create('raw-one', GIB, 'direct')
        volume = self.volume()
        for name, reason in (('raw-one', 'layout is direct'),
                             ('nobody', 'nobody'), ('main/raw-one', 'without'),
                             ('a/snapshots', 'without'), ('', 'source-name')):
            with self.assertRaisesRegex(
                    exception.ManageExistingInvalidReference, reason):
                self.driver.manage_existing(volume, {'source-name': name})
        attached = self.make()
        with self.device(attached):
            with self.assertRaisesRegex(
                    exception.ManageExistingInvalidReference, 'attached'):
                self.driver.manage_existing(
                    self.volume(), {'source-name': attached.name})

    def test_snapshots(self):
        volume = self.make()
        self.write(volume, b'monday')
        self.pool.make_snapshot(volume.name, 'monday')
        snapshot, ref = self.snapshot(volume), {'source-name': 'monday'}
        entries = self.driver.get_manageable_snapshots(
            [], None, 1000, 0, ['size'], ['asc'])
        mine = [e for e in entries if e['reference'] == ref]
        self.assertEqual([(True, {'source-name': volume.name})],
                         [(e['safe_to_manage'], e['source_reference'])
                          for e in mine])
        self.assertEqual(1, self.driver.manage_existing_snapshot_get_size(
            snapshot, ref))
        snapshot.update(self.driver.manage_existing_snapshot(snapshot, ref))
        self.known_snapshots = [snapshot]
        self.assertEqual('monday', names.of_snapshot(snapshot))
        with self.assertRaises(exception.ManageExistingInvalidReference):
            self.driver.manage_existing_snapshot(self.snapshot(volume), ref)
        with self.assertRaises(exception.ManageExistingInvalidReference):
            self.driver.manage_existing_snapshot(
                snapshot, {'source-name': 'tuesday'})
        copy = self.volume()
        self.driver.create_volume_from_snapshot(copy, snapshot)
        self.assertEqual(b'monday', self.read(copy, 6))
        self.driver.unmanage_snapshot(snapshot)
        self.driver.delete_snapshot(snapshot)
        self.assertEqual([], self.pool.snapshots(volume.name))


class Attachments(daemon.DaemonCase):
    NOVA = {'host': 'here', 'ip': '127.0.0.1', 'mountpoint': '/dev/vdb'}

    def attached_here(self, volume):
        return self.pool.attachment(volume.name) is not None

    def test_counts_go_up_and_down(self):
        volume = self.make()
        one = self.driver.initialize_connection(volume, self.NOVA)
        two = self.driver.initialize_connection(volume, self.NOVA)
        self.assertEqual(one, two)
        self.assertEqual(('local', True), (one['driver_volume_type'],
                                           one['data']['discard']))
        self.attached[volume.id] = [self.NOVA]
        with self.device(volume) as path:
            self.assertEqual(one['data']['device_path'], path)
        self.assertTrue(self.attached_here(volume))
        # Said once, however often it was asked for; and twice is no harm.
        self.assertFalse(self.driver.terminate_connection(volume, self.NOVA))
        self.assertFalse(self.attached_here(volume))
        self.assertFalse(self.driver.terminate_connection(volume, self.NOVA))

    def test_the_attachment_goes_before_cinders_copy_ends(self):
        volume = self.make()
        self.driver.initialize_connection(volume, self.NOVA)
        self.attached[volume.id] = [self.NOVA]
        with self.device(volume):
            self.assertTrue(self.driver.terminate_connection(volume,
                                                             self.NOVA))
            self.attached[volume.id] = []
            self.assertTrue(self.attached_here(volume))
        self.assertFalse(self.attached_here(volume))

    def test_a_device_that_is_not_for_cinder(self):
        volume = self.make()
        self.daemon.api.call('POST', '/v1/attachments', {
            'volume': f'main/{volume.name}', 'transport': 'nbd-export'})
        with self.assertRaisesRegex(client.ApiError, 'NBD clients'):
            self.driver.initialize_connection(volume, self.HERE)
        self.pool.detach(volume.name)
        self.daemon.api.call('POST', '/v1/attachments', {
            'volume': f'main/{volume.name}', 'transport': 'loop',
            'read_only': True})
        with self.assertRaisesRegex(client.ApiError, 'reading only'):
            self.driver.initialize_connection(volume, self.HERE)

    def test_forced_for_all(self):
        volume = self.make()
        self.driver.initialize_connection(volume, self.NOVA)
        self.driver.initialize_connection(volume, self.HERE)
        self.assertFalse(self.driver.terminate_connection(volume, None,
                                                          force=True))
        self.assertFalse(self.attached_here(volume))

    def test_what_is_open_is_not_taken_away(self):
        volume = self.make()
        path = self.driver.initialize_connection(volume, self.NOVA)
        with open(path['data']['device_path'], 'rb'), daemon.mock.patch(
                'restblk_brick.api.LINGER_S', 0):
            with self.assertRaisesRegex(client.ApiError, 'open by'):
                self.driver.terminate_connection(volume, None, force=True)
            with self.assertRaises(exception.VolumeIsBusy):
                self.driver.delete_volume(volume)
        self.driver.delete_volume(volume)

    def test_after_a_crash_of_cinder_volume(self):
        copied, used, held = self.make(), self.make(), self.make()
        snapshot = self.snapshot(copied)
        self.driver.create_snapshot(snapshot)
        self.driver.initialize_connection_snapshot(snapshot, self.HERE)
        for volume in (copied, used, held):
            self.driver.initialize_connection(volume, self.HERE)
        self.attached[used.id] = [self.NOVA]
        self.volumes = [copied, used, held]
        path = self.pool.attachment(held.name)['link']
        backup = subprocess.Popen(['sleep', '60'], stdin=open(path, 'rb'))
        self.addCleanup(backup.wait)
        self.addCleanup(backup.kill)
        # Where the crash was of the host, nobody has a device.
        self.pool.detach(used.name)

        self.driver = self.start_driver()
        self.driver.ensure_export(self.ctxt, used)
        self.assertEqual([False, True, True],
                         [self.attached_here(v)
                          for v in (copied, used, held)])
        self.assertIsNone(self.pool.attachment(
            f'{copied.name}@{snapshot.name}'))
        # Whose copy was not ours ends it, and nobody else holds the device.
        backup.kill()
        backup.wait()
        self.driver.terminate_connection(held, self.HERE)
        self.assertFalse(self.attached_here(held))
        self.assertTrue(self.attached_here(used))

    def test_the_daemon_is_restarted(self):
        volume = self.make()
        with self.device(volume) as path:
            self.daemon.stop()
            self.daemon.start()
            again = self.driver.initialize_connection(volume, self.HERE)
            self.assertEqual(path, again['data']['device_path'])
            with open(path, 'r+b') as device:
                device.write(b'still here')
        self.assertEqual(b'still here', self.read(volume, 10))


class Statistics(daemon.DaemonCase):
    def stats(self, **given):
        made = self.start_driver(**given)
        stats = made.get_volume_stats(refresh=True)
        self.assertEqual('local', stats['storage_protocol'])
        return stats['pools'][0]

    def test_what_is_not_known_is_called_so(self):
        stats = self.stats()
        self.assertEqual(('unknown', 'unknown', 'up'),
                         tuple(stats[key] for key in (
                             'total_capacity_gb', 'free_capacity_gb',
                             'backend_state')))
        self.assertNotIn('provisioned_capacity_gb', stats)

    def test_capabilities(self):
        stats = self.stats()
        wanted = {'thin_provisioning_support': True, 'multiattach': False,
                  'online_extend_support': True, 'QoS_support': True,
                  'consistent_group_snapshot_enabled': True,
                  'restblk_layout': 'log'}
        self.assertEqual(wanted, {key: stats[key] for key in wanted})
        made = self.start_driver()
        made.init_capabilities()
        self.assertIn('restblk:durability', made.capabilities['properties'])

    def test_a_capacity_that_is_given(self):
        before = self.stats(restblk_exclusive_pool=False)
        before = before['provisioned_capacity_gb']
        self.make(3)
        stats = self.stats(restblk_capacity_gb=100)
        self.assertAlmostEqual(before + 3, stats['provisioned_capacity_gb'])
        self.assertEqual((100, 97 - before), (stats['total_capacity_gb'],
                                              stats['free_capacity_gb']))

    def test_a_daemon_that_is_gone(self):
        for given in ({}, {'restblk_exclusive_pool': False},
                      {'restblk_capacity_gb': 100}):
            made = self.start_driver(**given)
            before = made.get_volume_stats(refresh=True)['pools'][0]
            made._pool._api._path = '/nowhere/api.sock'
            with daemon.mock.patch.object(client.api, 'RESTART_S', 0):
                after = made.get_volume_stats(refresh=True)['pools'][0]
            # What it told before it tells now: the scheduler holds to that.
            self.assertEqual({**before, 'backend_state': 'down'}, after)

    def test_a_store_that_is_full(self):
        call = self.driver._pool._api.call

        def full(method, path, *body, **how):
            if method == 'POST':
                raise client.ApiError('no_space', 'no space')
            return call(method, path, *body, **how)

        def state():
            stats = self.driver.get_volume_stats(refresh=True)
            return stats['pools'][0]['backend_state']

        with daemon.mock.patch.object(self.driver._pool._api, 'call', full):
            self.assertEqual('up', state())
            with self.assertRaises(client.ApiError):
                self.make()
            self.assertEqual(('down', 'down'), (state(), state()))
        before = self.names()
        self.assertEqual('up', state())
        self.assertEqual(before, self.names())


class SetUp(daemon.DaemonCase):
    def test_a_pool_that_is_not_there(self):
        made = daemon.make_driver(str(self.daemon.socket), 'elsewhere')
        with self.assertRaisesRegex(client.ApiError, 'elsewhere'):
            made.check_for_setup_error()

    def test_a_daemon_that_is_older(self):
        made = daemon.make_driver(str(self.daemon.socket))
        made.VERSION = '99.0.0'
        with self.assertRaisesRegex(client.ApiError, 'older than its Cinder'):
            made.check_for_setup_error()
        stats = made.get_volume_stats(refresh=True)
        self.assertEqual('down', stats['pools'][0]['backend_state'])

    def test_direct_volumes_where_the_store_cannot(self):
        found = self.pool.describe()
        found['proven']['write_in_place'] = False
        made = daemon.make_driver(str(self.daemon.socket),
                                  restblk_layout='direct')
        with daemon.mock.patch.object(made._pool, 'describe',
                                      return_value=found):
            with self.assertRaisesRegex(exception.InvalidConfigurationValue,
                                        'write in place'):
                made.check_for_setup_error()


class Agreement(daemon.DaemonCase):
    """What restblk-cinder-agree tells of these, and not of others."""

    def setUp(self):
        super().setUp()
        self.others = self.names()

    def make(self, size=1, **fields):
        fields = {'status': 'available', 'launched_at': timeutils.utcnow(),
                  **fields}
        return super().make(size, **fields)

    def findings(self, *mine, snapshots=()):
        known = self.others | {v.name for v in mine}
        found = list(agree.compare(self.pool, 'log', list(mine),
                                   list(snapshots), known))
        self.assertTrue(all(finding.remedy for finding in found))
        return [finding.what for finding in found]

    def test_where_they_agree(self):
        source = self.make()
        snapshot = self.snapshot(source, status='available')
        self.driver.create_snapshot(snapshot)
        clone = self.volume(1, status='available')
        self.driver.create_cloned_volume(clone, source)
        self.attached[clone.id] = [self.HERE]
        with self.device(clone):
            self.assertEqual([], self.findings(source, clone,
                                               snapshots=[snapshot]))

    def test_what_is_lost(self):
        source, other = self.make(), self.make()
        snapshot = self.snapshot(source, status='available')
        self.pool.delete(other.name, 'log')
        self.attached[source.id] = [self.HERE]
        told = self.findings(source, other, snapshots=[snapshot])
        self.assertEqual(3, len(told), told)
        for text in (f'main/{other.name} is not there',
                     f'@{snapshot.name} is not there', 'no device'):
            self.assertTrue(any(text in t for t in told), (text, told))

    def test_what_is_left_over(self):
        source, unknown = self.make(), self.make()
        self.driver.create_snapshot(self.snapshot(source))
        self.pool.make_snapshot(source.name, names.CLONE_PREFIX + 'x')
        self.pool.make_snapshot(source.name, 'made-by-hand')
        with self.device(source):
            told = self.findings(source)
        self.assertEqual(
            ['attached, and to nobody', 'not known to Cinder',
             'not known to Cinder', 'not known to Cinder'],
            sorted(t.split(' is ')[1] for t in told))
        self.assertTrue(any(unknown.name in t for t in told))

    def test_an_attachment_that_was_cut_off(self):
        volume = self.make(status='reserved')
        cut = daemon.mock.Mock(id='its-id', attach_status='attaching',
                               connector=self.HERE)
        self.attached[volume.id] = [self.HERE]
        with daemon.mock.patch.object(agree.records, 'attachments',
                                      return_value=[cut]):
            with self.device(volume):
                found, = agree.compare(self.pool, 'log', [volume], [],
                                       self.names())
        self.assertEqual('attachment its-id is attaching', found.what)
        self.assertIn('attachment-delete its-id', found.remedy)

    def test_the_way_out_of_a_state(self):
        for status, launched, remedy in (
                ('creating', None, 'volume delete'),
                ('deleting', timeutils.utcnow(), 'volume delete'),
                ('error', timeutils.utcnow(), 'state available --detached'),
                ('extending', timeutils.utcnow(), 'state available')):
            volume = self.make(status=status, launched_at=launched)
            found, = agree.compare(self.pool, 'log', [volume], [],
                                   self.names())
            self.assertIn(f'is {status}', found.what)
            self.assertIn(remedy, found.remedy)
            self.assertEqual('delete' in remedy, 'delete' in found.remedy)
