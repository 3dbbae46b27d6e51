"""Compares Cinder's records of a back end with what its pool has.

    restblk-cinder-agree [--config-file /etc/cinder/cinder.conf] BACK_END...

Each disagreement is told with the command that ends it; nothing is changed.
What is under way while it looks may be told as a disagreement: ask again.
Ends with 0 where both agree.
"""

from __future__ import annotations

import collections.abc
import sys
from typing import Any
from typing import NamedTuple

from oslo_config import cfg
from oslo_utils import units

from cinder import context
from cinder import objects
from cinder.volume import configuration
from cinder.volume import driver as base

from restblk_cinder import client
from restblk_cinder import names
from restblk_cinder import options
from restblk_cinder import pool
from restblk_cinder import records

# In which a volume or snapshot stays until somebody asks something of it.
_SETTLED = {'available', 'in-use', 'maintenance', 'awaiting-transfer',
            'reserved', 'backing-up', 'uploading'}


class Finding(NamedTuple):
    """Where they disagree, and the command that ends it."""

    what: str
    remedy: str


def compare(of: pool.Pool, layout: str, mine: list[objects.Volume],
            snapshots: list[objects.Snapshot], all_known: set[str],
            by_daemons: bool = False) -> collections.abc.Iterator[Finding]:
    """Volumes, snapshots and devices.

    :param mine: the back end's volumes
    :param snapshots: their snapshots
    :param all_known: names in the pool of all volumes of the cloud
    :param by_daemons: other hosts attach volumes themselves
    """
    there = {v['name']: v for v in of.volumes()}
    recorded = {names.of_volume(v): v for v in mine}
    kept: dict[str, dict[str, objects.Snapshot]] = {n: {} for n in recorded}
    for snapshot in snapshots:
        volume = names.of_volume(snapshot.volume)
        kept.setdefault(volume, {})[names.of_snapshot(snapshot)] = snapshot
    for name, volume in recorded.items():
        yield from _of_volume(of, name, volume, there.get(name))
        if layout == 'log' and name in there:
            yield from _of_snapshots(of, name, kept[name], {
                s['name'] for s in of.snapshots(name)})
    for name, found in there.items():
        if (name.startswith('volume-') and name not in all_known
                and found['layout'] == layout):
            yield Finding(f'{of.ref(name)} is not known to Cinder',
                          f'restblk delete {of.ref(name)}')
    yield from _of_devices(of, recorded, by_daemons)


def _of_volume(of: pool.Pool, name: str, volume: objects.Volume,
               found: dict[str, Any] | None
               ) -> collections.abc.Iterator[Finding]:
    if volume.status not in _SETTLED:
        yield Finding(f'volume {volume.id} is {volume.status}',
                      _out_of(volume))
    elif not found:
        yield Finding(f'volume {volume.id} is {volume.status}, and '
                      f'{of.ref(name)} is not there',
                      f'restblk trash list {of.name}')
    elif found['state'] != 'ready':
        yield Finding(f'volume {volume.id} is {volume.status}, and '
                      f'{of.ref(name)} {found["state"]}',
                      f'openstack volume delete {volume.id}')
    elif found['size'] < volume.size * units.Gi:
        yield Finding(f'volume {volume.id} has {volume.size} GiB, and '
                      f'{of.ref(name)} {found["size"]} bytes',
                      f'restblk extend {of.ref(name)} {volume.size}G')


def _out_of(volume: objects.Volume) -> str:
    """Out of a state in which nothing goes on."""
    reset = 'openstack volume set --state'
    if (not volume.launched_at
            or volume.status in ('deleting', 'error_deleting')):
        # It was never whole, or is not to be any more.
        return (f'{reset} error {volume.id} && '
                f'openstack volume delete {volume.id}')
    if records.connectors(volume):
        return f'{reset} in-use {volume.id}'
    return f'{reset} available --detached {volume.id}'


def _of_snapshots(of: pool.Pool, name: str,
                  recorded: dict[str, objects.Snapshot], found: set[str]
                  ) -> collections.abc.Iterator[Finding]:
    for its, snapshot in recorded.items():
        delete = f'openstack volume snapshot delete {snapshot.id}'
        if snapshot.status not in _SETTLED:
            yield Finding(
                f'snapshot {snapshot.id} is {snapshot.status}',
                'openstack volume snapshot set --state error '
                f'{snapshot.id} && {delete}')
        elif its not in found:
            yield Finding(f'snapshot {snapshot.id} is {snapshot.status}, and '
                          f'{of.ref(f"{name}@{its}")} is not there', delete)
    for its in sorted(found - set(recorded)):
        if its.startswith(('snapshot-', names.CLONE_PREFIX)):
            ref = of.ref(f'{name}@{its}')
            yield Finding(f'{ref} is not known to Cinder',
                          f'restblk snapshot delete {ref}')


def _of_devices(of: pool.Pool, recorded: dict[str, objects.Volume],
                by_daemons: bool) -> collections.abc.Iterator[Finding]:
    attached = {a['of'] for a in of.attachments()}
    for name in sorted(attached & set(recorded)):
        if not records.connectors(recorded[name]):
            yield Finding(f'{of.ref(name)} is attached, and to nobody',
                          f'restblk detach {of.ref(name)}')
    for name, volume in recorded.items():
        for attachment in records.attachments(volume):
            # Without a connector it is of an instance that is being made.
            if attachment.connector:
                yield from _of_attachment(
                    of.ref(name), attachment, name in attached,
                    by_daemons and bool(attachment.connector.get('restblk')))


def _of_attachment(ref: str, attachment: objects.VolumeAttachment,
                   has_device: bool, is_elsewhere: bool
                   ) -> collections.abc.Iterator[Finding]:
    what = f'attachment {attachment.id} is {attachment.attach_status}'
    if attachment.attach_status != 'attached':
        # It was cut off in its midst, whether there is a device or not.
        yield Finding(what, 'cinder --os-volume-api-version 3.27 '
                            f'attachment-delete {attachment.id}')
    elif not has_device and not is_elsewhere:
        yield Finding(f'{what}, and {ref} has no device on this host',
                      'systemctl restart cinder-volume')


def _of_back_end(name: str) -> collections.abc.Iterator[Finding]:
    conf = configuration.Configuration(base.volume_opts + options.OPTS,
                                       config_group=name)
    of = pool.Pool(client.Client(conf.restblk_socket, conf.restblk_timeout),
                   conf.restblk_pool)
    host = f'{conf.safe_get("backend_host") or cfg.CONF.host}@{name}'
    ctxt = context.get_admin_context()
    known = {names.of_volume(v) for v in objects.VolumeList.get_all(ctxt)}
    return compare(of, conf.restblk_layout, records.volumes_on(host),
                   list(objects.SnapshotList.get_by_host(ctxt, host)), known,
                   conf.restblk_export == 'daemon')


def main() -> int:
    """Of the command line."""
    objects.register_all()
    cfg.CONF.register_cli_opt(cfg.MultiOpt(
        'back_end', item_type=cfg.types.String(), positional=True,
        required=True, help='A section of cinder.conf, of enabled_backends.'))
    cfg.CONF(sys.argv[1:], project='cinder', prog='restblk-cinder-agree')
    findings = [finding for name in cfg.CONF.back_end
                for finding in _of_back_end(name)]
    for finding in findings:
        print(f'{finding.what}\n    {finding.remedy}')
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
