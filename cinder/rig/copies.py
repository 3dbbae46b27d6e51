"""Times copies of a volume of an image: copies.py IMAGE SIZE_GB TYPE...

For each type: a volume of the image, and of that a snapshot, a clone, and a
volume of the snapshot. The answer, for each in JSON: milliseconds from the
request until it is available, and the id. Only those of the first type stay.
"""

import json
import sys
import time

import openstack

image, size, *types = sys.argv[1:]
storage = openstack.connect().block_storage


def timed(make, show):
    began = time.monotonic()
    made = make()
    while True:
        status = show(made.id).status
        took = time.monotonic() - began
        if status == 'available':
            return {'ms': round(took * 1000), 'id': made.id}
        if status.startswith('error') or took > 1200:
            sys.exit(f'{made.id} is {status} after {took:.0f} s')
        time.sleep(0.02)


def volume(**of):
    return timed(lambda: storage.create_volume(size=int(size), **of),
                 storage.get_volume)


results = {}
for name in types:
    # Which asks for a token, so that what is timed does not.
    storage.get_type(storage.find_type(name).id)
    source = volume(volume_type=name, image_id=image)
    snapshot = timed(lambda: storage.create_snapshot(volume_id=source['id']),
                     storage.get_snapshot)
    clone = volume(source_volume_id=source['id'])
    if name != types[0]:
        storage.delete_volume(clone['id'])
    results[name] = {'of_image': source, 'snapshot': snapshot, 'clone': clone,
                     'of_snapshot': volume(snapshot_id=snapshot['id'])}
json.dump(results, sys.stdout)
