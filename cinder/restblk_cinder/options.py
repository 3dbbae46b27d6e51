"""The options of a back end's section in cinder.conf."""

from oslo_config import cfg

OPTS = [
    cfg.StrOpt(
        'restblk_socket', default='/run/restblk/api.sock',
        help='Socket of the restblk daemon of this host. The user of '
             'cinder-volume has to be in the group that the daemon gives it '
             '(api.group in restblk.toml).'),
    cfg.StrOpt(
        'restblk_pool',
        help='Pool of the daemon that holds the volumes.'),
    cfg.StrOpt(
        'restblk_layout', default='log', choices=['log', 'direct'],
        help='How new volumes lie on the store. log: snapshots, clones, thin. '
             'direct: one raw file each, without snapshots of its own.'),
    cfg.StrOpt(
        'restblk_snapshots', default='native', choices=['native', 'lvm_thin'],
        help='How volumes have snapshots. native: the log layout has them, '
             'the direct layout has none. lvm_thin: each direct volume is an '
             'LVM group with a thin pool. Wants rootwrap.d/restblk.filters.'),
    cfg.FloatOpt(
        'restblk_lvm_space', default=2.0, min=1.1,
        help='With lvm_thin: bytes of a group for each byte of its volume. '
             'What is beyond it is for snapshots; a group that is full '
             'refuses writes.'),
    cfg.StrOpt(
        'restblk_durability', default='local', choices=['local', 'remote'],
        help="What a flush of a log volume waits for, unless the volume's "
             'type says restblk:durability.'),
    cfg.StrOpt(
        'restblk_transport', default='auto',
        choices=['auto', 'ublk', 'nbd', 'loop'],
        help='How a volume becomes a device of this host.'),
    cfg.IntOpt(
        'restblk_capacity_gb', min=1,
        help='What the volumes of the pool may take together, in GiB. REST '
             'stores do not tell what they have; without this the back end '
             'reports "unknown".'),
    cfg.BoolOpt(
        'restblk_exclusive_pool', default=True,
        help='Nobody but this back end makes volumes in the pool. If not, '
             'the pool is listed for each report of what is provisioned.'),
    cfg.BoolOpt(
        'restblk_flatten_clones', default=False,
        help='Copy into each new clone what it would else read from the '
             'volume that it came from.'),
    cfg.ListOpt(
        'restblk_local_hosts', default=[],
        help='Further names by which connectors of this host come, such as '
             "nova-compute's host; * takes every connector for this host's."),
    cfg.StrOpt(
        'restblk_export', default='local',
        choices=['local', 'target', 'daemon'],
        help='Who can use volumes. local: this host. target: other hosts as '
             "well, by Cinder's target_helper, target_protocol and "
             'target_ip_address, as with the LVM driver. daemon: other hosts '
             'by restblk daemons of their own, one host at a time.'),
    cfg.IntOpt(
        'restblk_timeout', default=60, min=1,
        help="Seconds until the daemon's answer. What may take as long as it "
             'takes (deleting, flattening) has an hour.'),
]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """For oslo-config-generator."""
    return [('backend_defaults', OPTS)]
