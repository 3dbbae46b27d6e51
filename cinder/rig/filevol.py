"""A driver to compare with: volumes are sparse files, attached as loop
devices; snapshots and clones are whole copies.

It needs nothing but a folder (filevol_base), and has what tempest asks of a
back end. It shows the interface, and what a rig without restblk gets.
"""

import os
import subprocess

from oslo_config import cfg

from cinder import coordination
from cinder import exception
from cinder import interface
from cinder.volume import configuration
from cinder.volume import driver
from cinder.volume import volume_utils

OPTS = [cfg.StrOpt('filevol_base', help='Folder of the volumes.')]
cfg.CONF.register_opts(OPTS, group=configuration.SHARED_CONF_GROUP)
GIB = 1 << 30


@interface.volumedriver
class FileVolumeDriver(driver.VolumeDriver):
    """Volumes as sparse files."""

    VERSION = '0.1.0'
    CI_WIKI_NAME = 'None'

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTS)
        self.base = self.configuration.filevol_base

    @staticmethod
    def get_driver_options():
        return OPTS

    def do_setup(self, context):
        os.makedirs(self.base, exist_ok=True)

    def check_for_setup_error(self):
        pass

    def _update_volume_stats(self):
        fs = os.statvfs(self.base)
        name = self.configuration.safe_get('volume_backend_name')
        provisioned = sum(f.stat().st_size for f in self._files('volume-'))
        self._stats = {
            'volume_backend_name': name, 'vendor_name': 'rig',
            'driver_version': self.VERSION, 'storage_protocol': 'local',
            'pools': [{
                'pool_name': name,
                'total_capacity_gb': fs.f_blocks * fs.f_frsize / GIB,
                'free_capacity_gb': fs.f_bavail * fs.f_frsize / GIB,
                'provisioned_capacity_gb': provisioned / GIB,
                'max_over_subscription_ratio': 20.0, 'reserved_percentage': 0,
                'thin_provisioning_support': True,
                'thick_provisioning_support': False,
                'multiattach': True, 'online_extend_support': True,
                'QoS_support': False, 'sparse_copy_volume': True,
                'consistent_group_snapshot_enabled': True,
                'filter_function': self.get_filter_function(),
                'goodness_function': self.get_goodness_function(),
                'location_info': f'filevol:{self.base}',
                'backend_state': 'up'}]}

    # Files

    def _path(self, of):
        return os.path.join(self.base, of.name)

    def _files(self, prefix):
        return [f for f in os.scandir(self.base)
                if f.name.startswith(prefix) and '.' not in f.name]

    def _copy(self, source, target, size=0):
        _run('cp', '--reflink=auto', '--sparse=always', source, target)
        self._grow(target, size)

    def _grow(self, path, size_gb):
        os.truncate(path, max(size_gb * GIB, os.path.getsize(path)))

    def _remove(self, path):
        if os.path.exists(path):
            os.unlink(path)

    # Volumes and snapshots

    def create_volume(self, volume):
        with open(self._path(volume), 'xb') as file:
            file.truncate(volume.size * GIB)

    def delete_volume(self, volume):
        self._remove(self._path(volume))

    def extend_volume(self, volume, new_size):
        self._grow(self._path(volume), new_size)
        for device in _loops(self._path(volume)):
            _run('losetup', '-c', device)

    def create_cloned_volume(self, volume, src_vref):
        self._copy(self._path(src_vref), self._path(volume), volume.size)

    def create_snapshot(self, snapshot):
        self._copy(self._path(snapshot.volume), self._path(snapshot))

    def delete_snapshot(self, snapshot):
        self._remove(self._path(snapshot))

    def create_volume_from_snapshot(self, volume, snapshot):
        self._copy(self._path(snapshot), self._path(volume), volume.size)

    def revert_to_snapshot(self, context, volume, snapshot):
        self._copy(self._path(snapshot), self._path(volume), volume.size)

    def retype(self, context, volume, new_type, diff, host):
        return volume.host == host['host'], {}

    def update_migrated_volume(self, ctxt, volume, new_volume,
                               original_volume_status):
        os.rename(self._path(new_volume),
                  os.path.join(self.base, f'volume-{volume.id}'))
        return {'_name_id': None, 'provider_location': None}

    # Groups: one after the other, as far as Cinder leaves it to the driver

    def create_group(self, context, group):
        _require_consistent(group)
        return {'status': 'available'}

    def delete_group(self, context, group, volumes):
        _require_consistent(group)
        for volume in volumes:
            self.delete_volume(volume)
        return {'status': 'deleted'}, _all(volumes, 'deleted')

    def update_group(self, context, group, add_volumes=None,
                     remove_volumes=None):
        _require_consistent(group)
        return None, None, None

    def create_group_from_src(self, context, group, volumes,
                              group_snapshot=None, snapshots=None,
                              source_group=None, source_vols=None):
        _require_consistent(group)
        for volume, source in zip(volumes, snapshots or source_vols):
            self._copy(self._path(source), self._path(volume), volume.size)
        return None, None

    def create_group_snapshot(self, context, group_snapshot, snapshots):
        _require_consistent(group_snapshot)
        for snapshot in snapshots:
            self.create_snapshot(snapshot)
        return {'status': 'available'}, _all(snapshots, 'available')

    def delete_group_snapshot(self, context, group_snapshot, snapshots):
        _require_consistent(group_snapshot)
        for snapshot in snapshots:
            self.delete_snapshot(snapshot)
        return {'status': 'deleted'}, _all(snapshots, 'deleted')

    # What was there before

    def _find(self, reference):
        name = reference.get('source-name') or reference.get('source-id')
        path = os.path.join(self.base, os.path.basename(name or ''))
        if not name or not os.path.isfile(path):
            raise exception.ManageExistingInvalidReference(
                existing_ref=reference, reason='it is not there')
        return path

    def _size(self, reference):
        return -(-os.path.getsize(self._find(reference)) // GIB)

    def manage_existing(self, volume, existing_ref):
        os.rename(self._find(existing_ref), self._path(volume))

    def manage_existing_get_size(self, volume, existing_ref):
        return self._size(existing_ref)

    def unmanage(self, volume):
        pass

    def manage_existing_snapshot(self, snapshot, existing_ref):
        os.rename(self._find(existing_ref), self._path(snapshot))

    def manage_existing_snapshot_get_size(self, snapshot, existing_ref):
        return self._size(existing_ref)

    def unmanage_snapshot(self, snapshot):
        pass

    def get_manageable_volumes(self, cinder_volumes, *how):
        return self._manageable('volume-', cinder_volumes, {}, *how)

    def get_manageable_snapshots(self, cinder_snapshots, *how):
        return self._manageable('snapshot-', cinder_snapshots,
                                {'source_reference': {}}, *how)

    def _manageable(self, prefix, known, more, *how):
        ids = {it['name']: it['id'] for it in known}
        return volume_utils.paginate_entries_list([
            {'reference': {'source-name': f.name},
             'size': -(-f.stat().st_size // GIB),
             'safe_to_manage': f.name not in ids,
             'cinder_id': ids.get(f.name),
             'reason_not_safe': 'known' if f.name in ids else None,
             'extra_info': None, **more}
            for f in self._files(prefix)], *how)

    # Attachments: one line of PATH.users for each user of the device

    def ensure_export(self, context, volume):
        pass

    def create_export(self, context, volume, connector):
        pass

    def remove_export(self, context, volume):
        pass

    create_export_snapshot = create_export
    remove_export_snapshot = remove_export

    def initialize_connection(self, volume, connector, **kwargs):
        path = self._path(volume)
        with _lock(path), open(path + '.users', 'a+') as users:
            users.write('.\n')
            found = _loops(path)
            if not found:
                found = _run('losetup', '--show', '-f', path).split()
        return {'driver_volume_type': 'local',
                'data': {'device_path': found[0]}}

    def terminate_connection(self, volume, connector, **kwargs):
        path = self._path(volume)
        with _lock(path):
            if not os.path.exists(path + '.users'):
                return
            with open(path + '.users') as users:
                left = users.read()[2:] if connector else ''
            if left:
                with open(path + '.users', 'w') as users:
                    users.write(left)
                return
            os.unlink(path + '.users')
            for device in _loops(path):
                _run('losetup', '-d', device)

    initialize_connection_snapshot = initialize_connection
    terminate_connection_snapshot = terminate_connection


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise exception.VolumeBackendAPIException(data=done.stderr)
    return done.stdout


def _loops(path):
    return _run('losetup', '-n', '-O', 'NAME', '-j', path).split()


def _lock(path):
    return coordination.COORDINATOR.get_lock(
        f'filevol-{os.path.basename(path)}')


def _require_consistent(group):
    if not volume_utils.is_group_a_cg_snapshot_type(group):
        raise NotImplementedError


def _all(of, status):
    return [{'id': it.id, 'status': status} for it in of]
