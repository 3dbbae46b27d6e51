"""Makes what a fresh cloud needs, by its own APIs:
seed.py [identity] [volume] [wait]
"""

import hashlib
import os
import subprocess
import sys
import time

import openstack

rig = os.environ['RIG']
conn = openstack.connect()
backends = os.environ['BACKENDS'].split(',')
ports = {name: os.environ[f'{name.upper()}_PORT']
         for name in ('keystone', 'cinder', 'glance')}


def identity():
    made = conn.identity
    service = made.create_project(name='service', domain_id='default')
    roles = {r.name: r for r in made.roles()}
    for name in ('service', 'creator'):
        if name not in roles:
            roles[name] = made.create_role(name=name)
    for name in ('cinder', 'glance'):
        user = made.create_user(
            name=name, password=os.environ['OS_PASSWORD'],
            domain_id='default', default_project_id=service.id)
        for role in ('admin', 'service'):
            made.assign_project_role_to_user(service, user, roles[role])
        if name == 'cinder':
            # the owner of the images' volumes
            for what, id in (('project', service.id), ('user', user.id)):
                with open(f'{rig}/{what}_id', 'w') as file:
                    file.write(id)
    # No network service: its address answers 404, which is all that tempest
    # asks of it before it runs its tests of volumes.
    for kind, name, url in (
            ('network', 'none', f'{ports["keystone"]}/none'),
            ('image', 'glance', ports['glance']),
            ('block-storage', 'cinder', f'{ports["cinder"]}/v3')):
        served = made.create_service(type=kind, name=name)
        for interface in ('public', 'internal', 'admin'):
            made.create_endpoint(
                service_id=served.id, interface=interface,
                url=f'http://127.0.0.1:{url}', region_id='RegionOne')


def volume():
    storage = conn.block_storage
    kinds = {name: {'volume_backend_name': name} for name in backends}
    if 'log' in backends:
        kinds['multiattach'] = kinds['log'] | {'multiattach': '<is> True'}
        kinds['log-slow'] = kinds['log'] | {'restblk:durability': 'remote'}
    for name, specs in kinds.items():
        storage.create_type(name=name, is_public=True, extra_specs=specs)
    if 'log' in backends:
        for command in (
                ['create', '--consumer', 'back-end', '--property',
                 'total_iops_sec=500', 'slow'],
                ['associate', 'slow', 'log-slow']):
            subprocess.run(['openstack', 'volume', 'qos', *command],
                           check=True, stdout=subprocess.DEVNULL)
    raw, qcow2 = f'{rig}/tmp/small.raw', f'{rig}/tmp/small.qcow2'
    with open(raw, 'wb') as file:
        # 4 MiB of which every 4 KiB are known, and as much that is sparse
        for i in range(1024):
            file.write(hashlib.sha512(b'%d' % i).digest() * 64)
        file.truncate(8 << 20)
    subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw,
                    qcow2], check=True)
    for name, kind, path in (('small-raw', 'raw', raw),
                             ('small-qcow2', 'qcow2', qcow2)):
        image = conn.create_image(
            name, filename=path, disk_format=kind, container_format='bare',
            wait=True, visibility='public')
        with open(f'{rig}/{name}.id', 'w') as file:
            file.write(image.id)


def wait():
    """Until all services are up and all back ends told what they have."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        services = [(s.binary, s.host, s.state)
                    for s in conn.block_storage.services()]
        pools = [p.name for p in conn.block_storage.backend_pools()]
        if (len(services) >= 2 + len(backends) and len(pools) >= len(backends)
                and all(s[2] == 'up' for s in services)):
            return
        time.sleep(0.3)
    sys.exit(f'not all up: {services} {pools}')


for step in sys.argv[1:]:
    globals()[step]()
