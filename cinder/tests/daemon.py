"""A store and a daemon of the tests' own, and Cinder's objects without its
database.

Everything lies in one temporary folder. Processes are ended by their own ids.
"""

import atexit
import collections.abc
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest
from unittest import mock
import urllib.request
import uuid

from oslo_config import cfg

from cinder import context
from cinder import objects
from cinder.volume import configuration
from cinder.volume import driver as base

from restblk_cinder import client
from restblk_cinder import driver
from restblk_cinder import options
from restblk_cinder import pool
from restblk_cinder import records

objects.register_all()
PROGRAM = os.environ.get('RESTBLK')
GIB = 1 << 30


class Daemon:
    """A daemon with the pool "main", on the embedded store or another URL."""

    def __init__(self, url: str | None = None) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='restblk-cinder.'))
        self.socket = self.folder / 'run' / 'api.sock'
        self._running: dict[str, subprocess.Popen] = {}
        (self.folder / 'run').mkdir()
        (self.folder / 'store').mkdir()
        (self.folder / 'restblk.toml').write_text(
            ''.join(f'{what}_dir = "{self.folder}/{what}"\n'
                    for what in ('state', 'run', 'dev'))
            + '[control]\nenabled = false\n[journal]\nsize = "32M"\n')
        self.url = url or self._start_store()
        self.start()
        self.api = client.Client(str(self.socket), 60)
        self.api.call('POST', '/v1/pools', {
            'name': 'main', 'store': 'cdmi', 'dialect': 'cdmi2',
            'urls': [self.url]})

    def _start_store(self) -> str:
        self._run('store', 'serve', str(self.folder / 'store'),
                  '--listen', '127.0.0.1:0')
        log = self.folder / 'store.log'
        until = time.monotonic() + 20
        while 'http://' not in log.read_text():
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        return next(word for word in log.read_text().split()
                    if word.startswith('http://'))

    def start(self) -> None:
        """Starts the daemon, again where it was stopped."""
        self._run('daemon', 'daemon', '--config',
                  str(self.folder / 'restblk.toml'))

    def stop(self, name: str = 'daemon') -> None:
        process = self._running.pop(name)
        process.terminate()
        process.wait(30)

    def end(self) -> None:
        """Ends both and removes what they made."""
        for attachment in self.api.call('GET', '/v1/attachments'):
            self.api.call('POST', f'/v1/attachments/{attachment["volume"]}'
                          '/detach', {'force': True})
        for name in list(self._running):
            self.stop(name)
        shutil.rmtree(self.folder)

    def rewrite(self, name: str, fields: dict[str, object]) -> None:
        """Other fields in a volume's record on the store (docs/format.md)."""
        url = f'{self.url}.restblk/volumes/{name}'
        with urllib.request.urlopen(url) as answer:
            head, _, text = answer.read().partition(b'\n')
        text = json.dumps({**json.loads(text), **fields}).encode()
        start = b' '.join(head.split(b' ')[:3])
        framed = b'%s %d %08x\n%s' % (start, len(text), _crc32c(text), text)
        request = urllib.request.Request(
            url, framed.ljust(4096), method='PUT',
            headers={'Content-Type': 'application/octet-stream'})
        with urllib.request.urlopen(request):
            pass

    def _run(self, name: str, *arguments: str) -> None:
        log = open(self.folder / f'{name}.log', 'ab')
        with log:
            self._running[name] = subprocess.Popen(
                [PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)


def _crc32c(text: bytes) -> int:
    crc = 0xffffffff
    for byte in text:
        crc ^= byte
        for _bit in range(8):
            crc = crc >> 1 ^ 0x82f63b78 * (crc & 1)
    return crc ^ 0xffffffff


@functools.cache
def shared() -> Daemon:
    """One for all tests, which leave each other's volumes alone."""
    made = Daemon()
    atexit.register(made.end)
    return made


def make_driver(socket: str, name: str = 'main', **given: object
                ) -> driver.RestblkDriver:
    """A driver of a section with these options."""
    group = f'backend-{uuid.uuid4().hex[:8]}'
    conf = configuration.Configuration(base.volume_opts + options.OPTS,
                                       config_group=group)
    given = {'restblk_socket': socket, 'restblk_pool': name,
             'restblk_transport': 'loop', 'volume_backend_name': 'tested',
             **given}
    for option, value in given.items():
        cfg.CONF.set_override(option, value, group)
    return driver.RestblkDriver(host=f'here@{group}', configuration=conf)


class Case(unittest.TestCase):
    """What Cinder's database would tell, told by the test."""

    def setUp(self) -> None:
        super().setUp()
        self.ctxt = context.RequestContext('user', 'project', is_admin=True)
        self.attached: dict[str, list[dict]] = {}
        self.types: dict[str, dict] = {}
        self.volumes: list[objects.Volume] = []
        self.known_snapshots: list[objects.Snapshot] = []
        for name, told in (
                ('attachments', lambda v: [
                    objects.VolumeAttachment(id=str(uuid.uuid4()), connector=c,
                                             attach_status='attached')
                    for c in self.attached.get(v.id, [])]),
                ('volumes_on', lambda host: self.volumes),
                ('snapshots_of', lambda id: self.known_snapshots),
                ('extra_specs',
                 lambda id: self.types.get(id, {}).get('extra_specs', {})),
                ('qos', lambda id: self.types.get(id, {}).get('qos', {}))):
            patch = mock.patch.object(records, name, told)
            patch.start()
            self.addCleanup(patch.stop)

    def volume(self, size: int = 1, **fields: object) -> objects.Volume:
        fields = {'id': str(uuid.uuid4()), 'size': size, 'host': 'here@b#b',
                  'volume_type_id': None, '_name_id': None,
                  'provider_id': None, 'provider_location': None,
                  'provider_auth': None, 'use_quota': True,
                  'encryption_key_id': None, **fields}
        return objects.Volume(self.ctxt, **fields)

    def snapshot(self, volume: objects.Volume,
                 **fields: object) -> objects.Snapshot:
        made = objects.Snapshot(
            self.ctxt, id=str(uuid.uuid4()), volume_id=volume.id,
            volume_size=volume.size, **{'provider_id': None, **fields})
        made.volume = volume
        return made


@unittest.skipUnless(PROGRAM and os.geteuid() == 0,
                     'needs RESTBLK, a restblk program, and root')
class DaemonCase(Case):
    """With a daemon, and the driver of a back end on it."""

    LAYOUT = 'log'
    HERE = {'host': 'here', 'ip': '127.0.0.1', 'initiator': 'iqn.here'}

    def setUp(self) -> None:
        super().setUp()
        self.daemon = shared()
        self.pool = pool.Pool(self.daemon.api, 'main')
        self.driver = self.start_driver()

    def start_driver(self, **given: object) -> driver.RestblkDriver:
        """As a start of cinder-volume does it."""
        made = make_driver(str(self.daemon.socket), **{
            'restblk_layout': self.LAYOUT, 'restblk_local_hosts': ['here'],
            **given})
        made.do_setup(self.ctxt)
        made.check_for_setup_error()
        made.update_provider_info(self.volumes, [])
        made.set_initialized()
        return made

    def make(self, size: int = 1, **fields: object) -> objects.Volume:
        """A new volume."""
        volume = self.volume(size, **fields)
        volume.update(self.driver.create_volume(volume))
        return volume

    def trash(self) -> list[str]:
        """The volumes in the pool's trash, the earliest deleted first."""
        found = self.daemon.api.call('GET', '/v1/trash/main')
        return [entry['volume'].partition('/')[2] for entry in found]

    def wait_for(self, holds: collections.abc.Callable[[], bool],
                 what: str) -> None:
        deadline = time.monotonic() + 20
        while not holds():
            self.assertLess(time.monotonic(), deadline, f'{what} in time')
            time.sleep(0.1)

    def write(self, volume: objects.Volume, text: bytes,
              offset: int = 0) -> None:
        with self.device(volume) as path:
            fd = os.open(path, os.O_RDWR)
            os.pwrite(fd, text, offset)
            os.fsync(fd)
            os.close(fd)

    def read(self, of: objects.Volume, length: int, offset: int = 0) -> bytes:
        with self.device(of) as path:
            fd = os.open(path, os.O_RDONLY)
            text = os.pread(fd, length, offset)
            os.close(fd)
        return text

    def device(self, of: objects.Volume | objects.Snapshot) -> '_Device':
        return _Device(self.driver, of, self.HERE)

    def names(self) -> set[str]:
        return {v['name'] for v in self.pool.volumes()}


class _Device:
    """A device for as long as the block lasts."""

    def __init__(self, of_driver: driver.RestblkDriver, of: object,
                 connector: dict) -> None:
        kind = '_snapshot' if isinstance(of, objects.Snapshot) else ''
        self._begin = getattr(of_driver, 'initialize_connection' + kind)
        self._end = getattr(of_driver, 'terminate_connection' + kind)
        self._with = of, connector

    def __enter__(self) -> str:
        return self._begin(*self._with)['data']['device_path']

    def __exit__(self, *_exc: object) -> None:
        self._end(*self._with)
