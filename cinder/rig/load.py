"""Workers that make, snapshot, clone, attach, detach and delete volumes of
their own, all at a time: load.py WORKERS SEED STOP LEDGER

Each waits for what it asked; what fails or is refused is left as it is. They
end when the file STOP is there. LEDGER is JSON then: of each volume whether it
must be there (it was, and nobody asked to delete it), or may be gone; and
whether it was made of the volume "base". Prints how much was asked and failed.
"""

import collections
import json
import os
import pathlib
import random
import sys
import threading
import time

from cinderclient import client
from keystoneauth1 import identity
from keystoneauth1 import session

workers, seed = int(sys.argv[1]), sys.argv[2]
stop, ledger_file = pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
of = os.environ.get
cinder = client.Client('3.71', session=session.Session(
    identity.V3Password(
        auth_url=of('OS_AUTH_URL'), username=of('OS_USERNAME'),
        password=of('OS_PASSWORD'), project_name=of('OS_PROJECT_NAME'),
        user_domain_id='default', project_domain_id='default'),
    timeout=150))
base = cinder.volumes.find(name='base').id
CONNECTOR = {'host': 'rig', 'ip': '127.0.0.1', 'initiator': None,
             'platform': 'x86_64', 'os_type': 'linux', 'multipath': False}

lock = threading.Lock()
ledger: dict[str, dict] = {}
asked: collections.Counter = collections.Counter()
failed: collections.Counter = collections.Counter()


class Worker(threading.Thread):
    """One of them."""

    def __init__(self, number):
        super().__init__(name=f'w{number}')
        self.random = random.Random(f'{seed}.{number}')
        self.volumes, self.snapshots, self.attachments = [], [], {}

    def run(self):
        while not stop.exists():
            doing = self.random.choice([
                'create', 'clone', 'clone_base', 'snapshot', 'of_snapshot',
                'attach', 'detach', 'delete', 'delete_snapshot'])
            if len(self.volumes) >= 5:
                doing = 'delete'
            try:
                # False: it had nothing to do it with
                if getattr(self, doing)() is not False:
                    with lock:
                        asked[doing] += 1
            except Exception as e:
                with lock:
                    failed[f'{doing}: {type(e).__name__}'] += 1
                time.sleep(0.5)

    def create(self, from_base=False, **of):
        made = cinder.volumes.create(size=1, name=self.name, **of)
        with lock:
            ledger[made.id] = {'there': False, 'of_base': from_base}
        self.volumes.append(made.id)
        if self.settle(cinder.volumes, made.id) == 'available':
            with lock:
                ledger[made.id]['there'] = True

    def clone_base(self):
        self.create(from_base=True, source_volid=base)

    def clone(self):
        source = self.one(self.whole())
        if not source:
            return False
        self.create(ledger[source]['of_base'], source_volid=source)

    def snapshot(self):
        volume = self.one(self.whole())
        if not volume:
            return False
        made = cinder.volume_snapshots.create(volume, force=True)
        self.snapshots.append((made.id, ledger[volume]['of_base']))
        self.settle(cinder.volume_snapshots, made.id)

    def of_snapshot(self):
        source = self.one(self.snapshots)
        if not source:
            return False
        self.create(source[1], snapshot_id=source[0])

    def attach(self):
        volume = self.one([v for v in self.whole()
                           if v not in self.attachments])
        if not volume:
            return False
        made = cinder.attachments.create(volume, CONNECTOR, None, mode='rw')
        self.attachments[volume] = made['id']
        cinder.attachments.complete(made['id'])

    def detach(self):
        volume = self.one(list(self.attachments))
        if not volume:
            return False
        cinder.attachments.delete(self.attachments.pop(volume))

    def delete(self):
        volume = self.one([v for v in self.volumes
                           if v not in self.attachments])
        if not volume:
            return self.detach()
        self.volumes.remove(volume)
        with lock:
            ledger[volume]['there'] = False
        cinder.volumes.delete(volume)
        self.settle(cinder.volumes, volume)

    def delete_snapshot(self):
        snapshot = self.one(self.snapshots)
        if not snapshot:
            return False
        self.snapshots.remove(snapshot)
        cinder.volume_snapshots.delete(snapshot[0])
        self.settle(cinder.volume_snapshots, snapshot[0])

    def whole(self):
        """Those that were seen available."""
        return [v for v in self.volumes if ledger[v]['there']]

    def one(self, of):
        return self.random.choice(of) if of else None

    def settle(self, manager, id):
        """Its status when nothing seems to go on; None where it is gone."""
        until = time.monotonic() + 60
        while time.monotonic() < until and not stop.exists():
            try:
                status = manager.get(id).status
            except Exception as e:
                if getattr(e, 'code', None) == 404:
                    return None
                raise
            if status in ('available', 'in-use') or 'error' in status:
                return status
            time.sleep(0.5)
        return 'unknown'


threads = [Worker(n) for n in range(workers)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ledger_file.write_text(json.dumps(ledger))
print('asked', dict(asked), 'failed', dict(failed))
