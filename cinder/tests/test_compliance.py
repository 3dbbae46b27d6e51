"""Cinder's own compliance tests, and what they leave unchecked.

Cinder's collect the driver from its register. They look for the interfaces'
methods with inspect.ismethod, which finds none in a class of Python 3; so each
method of each interface is looked at here as well: that it is there, and that
a call with the interface's own arguments reaches it.
"""

import importlib
import inspect
import subprocess
import sys
import unittest

from cinder.interface import util
from cinder.volume import driver as base

from restblk_cinder import driver

INTERFACES = ('volume_driver', 'volume_manageable_driver',
              'volume_snapshotmanagement_driver', 'volume_snapshot_revert')
# Cinder's minimum features; the base class's own do not support them.
NEEDED = {
    '_update_volume_stats', 'check_for_setup_error', 'create_cloned_volume',
    'create_export', 'create_snapshot', 'create_volume',
    'create_volume_from_snapshot', 'delete_snapshot', 'delete_volume',
    'ensure_export', 'extend_volume', 'initialize_connection',
    'remove_export', 'terminate_connection'}
# And what its driver for RBD has besides, of what restblk can.
WANTED = {
    'clone_image', 'get_driver_options', 'get_manageable_snapshots',
    'get_manageable_volumes', 'initialize_connection_snapshot',
    'manage_existing', 'manage_existing_get_size',
    'manage_existing_snapshot', 'manage_existing_snapshot_get_size',
    'migrate_volume', 'retype', 'revert_to_snapshot',
    'terminate_connection_snapshot', 'unmanage', 'unmanage_snapshot'}


def interfaces():
    for name in INTERFACES:
        module = importlib.import_module(f'cinder.interface.{name}')
        for found in vars(module).values():
            if inspect.isclass(found) and found.__module__ == module.__name__:
                yield found


class Compliance(unittest.TestCase):
    driver = driver.RestblkDriver

    def test_registered(self):
        mine = [d for d in util.get_volume_drivers()
                if d.cls is self.driver]
        self.assertEqual(['restblk_cinder.driver.RestblkDriver'],
                         [d.class_fqn for d in mine])
        self.assertTrue(mine[0].driver_options)
        self.assertTrue(mine[0].supported)

    def test_its_own(self):
        for name in NEEDED | WANTED:
            owner = next(c for c in self.driver.__mro__ if name in vars(c))
            self.assertNotIn(owner, vars(base).values(), name)

    def test_calls_bind(self):
        checked = 0
        for interface in interfaces():
            for name, method in vars(interface).items():
                if name.startswith('_') or not inspect.isfunction(method):
                    continue
                needed = [p for p in
                          inspect.signature(method).parameters.values()
                          if p.default is p.empty
                          and p.kind is not p.VAR_KEYWORD]
                mine = getattr(self.driver, name)
                if callable(mine):
                    inspect.signature(mine).bind(*needed)
                    checked += 1
        self.assertGreater(checked, 30)

    def test_cinders_own(self):
        """In a process of its own: they bring Cinder's whole test bed."""
        ran = subprocess.run(
            [sys.executable, '-c',
             'import unittest, restblk_cinder.driver; unittest.main('
             'module="cinder.tests.compliance.test_volume_drivers")', '-v'],
            capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(0, ran.returncode, ran.stderr)
        self.assertIn('test_volume_driver_compliance', ran.stderr)
