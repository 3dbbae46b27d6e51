"""The Cinder driver: volumes of a restblk pool.

It speaks to the restblk daemon of cinder-volume's own host and runs no command
of its own. A volume is a volume of the pool, a snapshot its snapshot, a volume
from either a clone, which copies nothing. Attachments are devices of this host
(os-brick's "local" connector): Cinder's own copies use them, and so can
instances on this host; other hosts have them by Cinder's targets, or by
daemons of their own (restblk_brick).

docs/openstack.md in restblk's repository tells how to set it up.
"""

from __future__ import annotations

import collections.abc
import contextlib
import re
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import units

from cinder import context
from cinder import exception
from cinder.i18n import _
from cinder import interface
from cinder import objects
from cinder.volume import configuration
from cinder.volume import driver
from cinder.volume import volume_utils

from restblk_brick import api
from restblk_cinder import client
from restblk_cinder import connect
from restblk_cinder import devices
from restblk_cinder import export
from restblk_cinder import groups
from restblk_cinder import manage
from restblk_cinder import names
from restblk_cinder import options
from restblk_cinder import pool
from restblk_cinder import records
from restblk_cinder import settings
from restblk_cinder import thin

CONF = cfg.CONF
CONF.register_opts(options.OPTS, group=configuration.SHARED_CONF_GROUP)
LOG = logging.getLogger(__name__)

# A volume with somebody else's snapshots is kept for as long as this.
STRANGE_DAYS = 7
# What Cinder is to keep of a volume or snapshot besides what it knows.
Update = dict[str, Any] | None


@interface.volumedriver
class RestblkDriver(manage.Managing, connect.Connecting, groups.Grouping,
                    driver.VolumeDriver):
    """Volumes of a restblk pool, through the daemon of this host."""

    VERSION = '0.1.0'
    CI_WIKI_NAME = 'None'
    VENDOR = 'restblk'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(options.OPTS)
        of = self.configuration.safe_get
        self._layout = of('restblk_layout')
        self._pool = pool.Pool(
            client.Client(of('restblk_socket'), of('restblk_timeout')),
            of('restblk_pool') or '')
        self._devices = devices.Devices(self._pool, of('restblk_transport'))
        self._thin: thin.ThinDevices | None = None
        self._host_id = ''
        self._punches = False
        # What was counted last, in GiB.
        self._provisioned = 0.0

    @staticmethod
    def get_driver_options() -> list[cfg.Opt]:
        return options.OPTS

    # Set-up

    def do_setup(self, context: context.RequestContext) -> None:
        if not self._pool.name:
            raise exception.InvalidConfigurationValue(
                option='restblk_pool', value='')
        of = self.configuration.safe_get
        how = of('restblk_export')
        self._by_daemons = how == 'daemon'
        if of('restblk_snapshots') == 'lvm_thin':
            if self._layout != 'direct' or self._by_daemons:
                raise exception.InvalidConfigurationValue(
                    message=_('restblk_snapshots = lvm_thin is for '
                              'restblk_layout = direct, and not with '
                              'restblk_export = daemon'))
            self._devices = self._thin = thin.ThinDevices(
                self._pool, of('restblk_transport'), self._execute,
                of('restblk_lvm_space'))
        if how == 'target':
            self._exports = export.Exports(
                self.target_mapping, self.configuration, self._execute)

    def check_for_setup_error(self) -> None:
        if self._thin:
            self._thin.require()
        proven = self._require_ready()['proven']
        if self._layout == 'direct' and not proven['write_in_place']:
            raise exception.InvalidConfigurationValue(
                message=_('restblk_layout = direct is not possible in pool '
                          '%s, whose store does not write in place: choose '
                          'log') % self._pool.name)
        self._punches = self._layout == 'log' or proven['punch']

    def _require_ready(self) -> pool.Answer:
        """The pool, unless its daemon does not know all that is asked."""
        host = self._pool.host()
        self._host_id = host['host_id']
        if _version(host['version']) < _version(self.VERSION):
            raise client.ApiError(
                'unsupported', _('restblk %(its)s on %(host)s is older than '
                                 'its Cinder driver, %(ours)s')
                % {'its': host['version'], 'host': host['hostname'],
                   'ours': self.VERSION},
                'upgrade restblk and restart its daemon')
        return self._pool.require_ready(self._layout, self._host_id)

    def update_provider_info(self, volumes: list[objects.Volume],
                             snapshots: list[objects.Snapshot]) -> tuple:
        """Clears away what a crash left: this is called at the start.

        Cinder keeps nothing of it.
        """
        mine = {names.of_volume(v): v for v in volumes}
        try:
            for attachment in self._pool.attachments():
                of = attachment['of']
                name, _at, snapshot = of.partition('@')
                volume = mine.get(name)
                if not volume:
                    continue
                connectors = [] if snapshot else records.connectors(volume)
                if not snapshot:
                    self._end_unused(context.get_admin_context(), volume,
                                     connectors)
                if not connectors:
                    self._devices.release_unused(of)
        except client.ApiError as e:
            LOG.warning('devices of an earlier life may be left: %s', e)
        return None, None

    def _update_volume_stats(self) -> None:
        of = self.configuration.safe_get
        name = self.get_pool(None)
        capacity = of('restblk_capacity_gb')
        stats = {
            'pool_name': name,
            'total_capacity_gb': capacity or 'unknown',
            'free_capacity_gb': 'unknown',
            'reserved_percentage': of('reserved_percentage'),
            'max_over_subscription_ratio':
                volume_utils.get_max_over_subscription_ratio(
                    of('max_over_subscription_ratio')),
            'thin_provisioning_support': self._layout == 'log',
            'thick_provisioning_support': False,
            'multiattach': False,
            # A host's own daemon serves a volume alone, to its end.
            'online_extend_support': not self._by_daemons,
            'QoS_support': True,
            'consistencygroup_support': False,
            'consistent_group_snapshot_enabled': self._layout == 'log',
            # Unwritten parts of a new volume read as zeros.
            'sparse_copy_volume': True,
            'filter_function': self.get_filter_function(),
            'goodness_function': self.get_goodness_function(),
            'location_info': self._location(),
            'restblk_layout': self._layout,
            'backend_state': 'down',
        }
        counts = capacity or not of('restblk_exclusive_pool')
        try:
            self._require_ready()
            if counts:
                sizes = sum(v['size'] for v in self._pool.volumes())
                self._provisioned = sizes / units.Gi
            stats['backend_state'] = 'up'
        except client.ApiError as e:
            LOG.error('back end %s is down: %s', name, e)
        if counts:
            # Always or never: Cinder's scheduler takes no report that tells
            # it after one that did not.
            stats['provisioned_capacity_gb'] = self._provisioned
        if capacity:
            # As if all were written: what is, nobody tells.
            stats['free_capacity_gb'] = max(0, capacity - self._provisioned)
        self._stats = {
            'volume_backend_name': name, 'vendor_name': self.VENDOR,
            'driver_version': self.VERSION,
            'storage_protocol': (self._exports.protocol if self._exports
                                 else self.STORAGE_PROTOCOL),
            'pools': [stats]}

    def _init_vendor_properties(self) -> tuple[dict, str]:
        properties: dict[str, Any] = {}
        if self._layout == 'log':
            self._set_property(
                properties, settings.DURABILITY, 'Durability',
                _('What a flush waits for: the disk of the host, or the '
                  'store.'), 'string', enum=['local', 'remote'],
                default=self.configuration.safe_get('restblk_durability'))
        return properties, 'restblk'

    def get_pool(self, volume: objects.Volume | None) -> str:
        """The back end is one pool of Cinder's."""
        return self.configuration.safe_get('volume_backend_name') or 'restblk'

    def _location(self) -> str:
        """Equal for back ends whose volumes lie at the same place."""
        return ':'.join(('restblk', self._host_id, self._pool.name,
                         'lvm_thin' if self._thin else self._layout,
                         self.configuration.safe_get('restblk_durability')))

    # Volumes

    def create_volume(self, volume: objects.Volume) -> Update:
        wanted = self._settings(volume)
        with self._new(volume, wanted) as name:
            self._make(name, volume.size, wanted.durability)
        return {'provider_id': None}

    def delete_volume(self, volume: objects.Volume) -> None:
        """Clones that were made of it go on reading from it."""
        name = names.of_volume(volume)
        try:
            self._devices.release(name)
            with api.absent():
                self._pool.delete(name, self._layout, self._keep_s(name))
        except client.ApiError as e:
            if e.kind != 'busy':
                raise
            LOG.error('%s', e)
            raise exception.VolumeIsBusy(message=str(e))

    def _keep_s(self, name: str) -> int:
        """How long a deleted volume stays in the pool's trash.

        Snapshots that Cinder does not know may be somebody's; those of a clone
        that was cut off go with the volume.
        """
        if (self._layout == 'direct'
                or self._pool.volume(name)['state'] != 'ready'):
            return 0
        strange = [s['name'] for s in self._pool.snapshots(name)
                   if not s['name'].startswith(names.CLONE_PREFIX)]
        if not strange:
            return 0
        LOG.warning('%(volume)s has snapshots that Cinder does not know '
                    '(%(snapshots)s): it stays in the trash for %(days)s days '
                    '(restblk trash restore %(volume)s)',
                    {'volume': self._pool.ref(name), 'days': STRANGE_DAYS,
                     'snapshots': ', '.join(strange)})
        return STRANGE_DAYS * 24 * 3600

    def extend_volume(self, volume: objects.Volume, new_size: int) -> None:
        name = names.of_volume(volume)
        self._grow(name, new_size)
        if self._thin:
            self._thin.grow(name, new_size)
        self._apply(name, self._settings(volume, new_size))
        if self._exports:
            self._exports.extend(volume)
        device = self._pool.attachment(name)
        if device and device.get('device_size', 0) < new_size * units.Gi:
            LOG.warning('%s shows its new size when it is attached again: %s',
                        device['link'], ', '.join(device.get('limits', [])))

    def create_cloned_volume(self, volume: objects.Volume,
                             src_vref: objects.Volume) -> Update:
        source = names.of_volume(src_vref)
        through = names.CLONE_PREFIX + volume.name
        if self._thin:
            # A thin copy of the source would lie in the source's group.
            self._thin.make_snapshot(source, through)
            try:
                return self._copy_of(volume, f'{source}@{through}',
                                     src_vref.size)
            finally:
                self._thin.delete_snapshot(source, through)
        if self._layout == 'direct':
            return self._copy(volume, src_vref)
        self._pool.make_snapshot(source, through)
        try:
            return self._clone(volume, source, through)
        finally:
            self._forget(source, through)

    def clone_image(self, context: context.RequestContext,
                    volume: objects.Volume, image_location: Any,
                    image_meta: dict[str, Any],
                    image_service: Any) -> tuple[Update, bool]:
        """Clones an image that lies in the pool, under its id."""
        if self._layout == 'direct':
            return None, False
        source = names.IMAGE_PREFIX + image_meta['id']
        found = None
        with api.absent():
            found = self._pool.snapshot(source, names.IMAGE_SNAPSHOT)
        if not found or found['size'] > volume.size * units.Gi:
            return None, False
        return self._clone(volume, source, names.IMAGE_SNAPSHOT), True

    def retype(self, context: context.RequestContext, volume: objects.Volume,
               new_type: objects.VolumeType, diff: dict,
               host: dict) -> tuple[bool, Update]:
        """What another type says of durability and QoS holds at once."""
        capabilities = host.get('capabilities') or {}
        if capabilities.get('location_info') not in (None, self._location()):
            return False, None
        self._apply(names.of_volume(volume),
                    self._settings(volume, type_id=new_type.id), anew=True)
        return True, None

    def migrate_volume(self, context: context.RequestContext,
                       volume: objects.Volume,
                       host: dict) -> tuple[bool, Update]:
        """Nothing moves between back ends of the same pool and layout."""
        there = (host.get('capabilities') or {}).get('location_info')
        return there == self._location(), None

    # Snapshots

    def create_snapshot(self, snapshot: objects.Snapshot) -> Update:
        volume = names.of_volume(snapshot.volume)
        if self._thin:
            self._thin.make_snapshot(volume, snapshot.name)
            return None
        self._require_log(_('snapshot'))
        self._pool.make_snapshot(volume, snapshot.name)
        return None

    def delete_snapshot(self, snapshot: objects.Snapshot) -> None:
        """Volumes made from it go on reading what it kept."""
        if self._layout == 'direct' and not self._thin:
            # None was made: this clears away Cinder's record of the try.
            return
        volume = names.of_volume(snapshot.volume)
        name = names.of_snapshot(snapshot)
        try:
            self._devices.release(f'{volume}@{name}')
            with api.absent():
                (self._thin or self._pool).delete_snapshot(volume, name)
        except client.ApiError as e:
            if e.kind != 'busy':
                raise
            LOG.error('%s', e)
            raise exception.SnapshotIsBusy(message=str(e))

    def create_volume_from_snapshot(self, volume: objects.Volume,
                                    snapshot: objects.Snapshot) -> Update:
        source = names.of_volume(snapshot.volume)
        name = names.of_snapshot(snapshot)
        if self._thin:
            return self._copy_of(volume, f'{source}@{name}',
                                 snapshot.volume_size)
        self._require_log(_('snapshot'))
        return self._clone(volume, source, name)

    def revert_to_snapshot(self, context: context.RequestContext,
                           volume: objects.Volume,
                           snapshot: objects.Snapshot) -> None:
        if self._thin:
            # LVM's merge takes the snapshot with it; Cinder copies instead.
            raise NotImplementedError
        name = names.of_volume(volume)
        self._devices.release(name)
        self._pool.roll_back(name, names.of_snapshot(snapshot))
        self._grow(name, volume.size)

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        # A rollback is done or not done.
        return False

    def backup_use_temp_snapshot(self) -> bool:
        # Snapshots are attached themselves, beside their volume.
        return self._layout == 'log' or self._thin is not None

    # What they share

    def _settings(self, volume: objects.Volume, size_gb: int | None = None,
                  type_id: str | None = None) -> settings.Settings:
        return settings.of_type(
            type_id or volume.volume_type_id, size_gb or volume.size,
            self._layout, self.configuration.safe_get('restblk_durability'))

    def _apply(self, name: str, wanted: settings.Settings,
               anew: bool = False) -> None:
        """Gives a volume its settings; a new one has its durability."""
        if anew or wanted.limits:
            self._pool.limit(name, wanted.limits)
        if anew and self._layout == 'log':
            self._pool.set_durability(name, wanted.durability)

    @contextlib.contextmanager
    def _new(self, volume: objects.Volume, wanted: settings.Settings
             ) -> collections.abc.Iterator[str]:
        """Around the making of a volume: all of it, or nothing is left."""
        name = volume.name
        try:
            yield name
            self._apply(name, wanted)
        except Exception as failure:
            # Somebody else's volume of that name is not ours to delete.
            if getattr(failure, 'kind', None) != 'exists':
                try:
                    with api.absent():
                        self._pool.delete(name, self._layout)
                except client.ApiError as e:
                    LOG.warning('a half-made volume is left: %s', e)
            raise

    def _clone(self, volume: objects.Volume, source: str,
               snapshot: str) -> Update:
        wanted = self._settings(volume)
        with self._new(volume, wanted) as name:
            made = self._pool.clone(source, snapshot, name, wanted.durability)
            self._grow(name, volume.size, made)
            # A temporary volume is not worth it.
            if (self.configuration.safe_get('restblk_flatten_clones')
                    and volume.use_quota):
                self._pool.flatten(name)
        return {'provider_id': None}

    def _forget(self, source: str, through: str) -> None:
        """What clones read of a snapshot stays, under no name."""
        try:
            self._pool.delete_snapshot(source, through)
        except client.ApiError as e:
            LOG.warning('%s goes when the volume does: %s',
                        self._pool.ref(f'{source}@{through}'), e)

    def _bytes(self, size_gb: int) -> int:
        """The size in the pool of a volume that Cinder has with so many."""
        if self._thin:
            return self._thin.bytes_for(size_gb)
        return size_gb * units.Gi

    def _make(self, name: str, size_gb: int, durability: str) -> None:
        """A volume without anything in it."""
        self._pool.create(name, self._bytes(size_gb), self._layout, durability)
        if self._thin:
            self._thin.make(name, size_gb)

    def _copy_of(self, volume: objects.Volume, source: str,
                 size_gb: int) -> Update:
        """Reads and writes all of a volume, or of VOLUME@SNAPSHOT by LVM."""
        reader = {'copy': volume.name}
        wanted = self._settings(volume)
        with self._new(volume, wanted) as name:
            self._make(name, volume.size, wanted.durability)
            read = self._devices.take(source, reader)
            try:
                write = self._devices.take(name, reader)
                try:
                    volume_utils.copy_volume(
                        read, write, size_gb * units.Ki,
                        self.configuration.volume_dd_blocksize, sparse=True)
                finally:
                    self._devices.leave(name, reader, [])
            finally:
                self._devices.leave(source, reader, [])
        return {'provider_id': None}

    def _copy(self, volume: objects.Volume,
              source: objects.Volume) -> Update:
        """Reads and writes all of it: for volumes that cannot be cloned."""
        if records.connectors(source):
            raise exception.InvalidVolume(
                reason=_('a direct volume is copied to be cloned, which must '
                         'not be while it is attached: detach it first, or '
                         'use a back end with restblk_layout = log'))
        return self._copy_of(volume, names.of_volume(source), source.size)

    def _grow(self, name: str, size_gb: int,
              found: pool.Answer | None = None) -> None:
        """Makes a volume as large as Cinder has it, if it is not."""
        size = self._bytes(size_gb)
        found = found or self._pool.volume(name)
        if found['size'] < size:
            self._pool.extend(name, size)

    def _require_log(self, what: str) -> None:
        if self._layout == 'direct':
            raise exception.VolumeDriverException(
                message=_('no %s of a direct volume is possible: '
                          'volumes of a back end with restblk_layout = log '
                          'or restblk_snapshots = lvm_thin have them') % what)


def _version(text: str) -> list[int]:
    """Of "1.2.3", or "1.2.3-rc.1" or "1.2.3+build"."""
    return [int(n) for n in re.split(r'[-+]', text)[0].split('.')]
