"""Makes restblk known to os-brick and Nova, once this process has them.

Neither takes connectors of others by its configuration, but both keep them in
tables. Imported when Python starts (restblk_brick/register.py), this costs
nothing until os-brick or Nova's libvirt driver is imported.
"""

from __future__ import annotations

import collections.abc
import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any

PROTOCOL = 'RESTBLK'
CONNECTOR = 'restblk_brick.connector.RestblkConnector'


def _tell_os_brick(module: Any) -> None:
    module.get_connector_mapping()[PROTOCOL] = CONNECTOR
    module.unix_connector_list.append(CONNECTOR)


def _tell_nova(module: Any) -> None:
    module.VOLUME_DRIVERS['restblk'] = (
        'restblk_brick.nova.LibvirtRestblkVolumeDriver')


_TELLS: dict[str, collections.abc.Callable[[Any], None]] = {
    'os_brick.initiator.connector': _tell_os_brick,
    'nova.virt.libvirt.driver': _tell_nova,
}


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the two modules as ever, and tells them when they have run."""

    def find_spec(self, fullname: str, path: Any,
                  target: types.ModuleType | None = None
                  ) -> importlib.machinery.ModuleSpec | None:
        tell = _TELLS.get(fullname)
        if not tell:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader:
            run = spec.loader.exec_module

            def run_and_tell(module: types.ModuleType) -> None:
                run(module)
                tell(module)

            spec.loader.exec_module = run_and_tell  # type: ignore
        return spec


def register() -> None:
    """Asked twice, it does it once."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    for name, tell in _TELLS.items():
        if name in sys.modules:
            tell(sys.modules[name])


register()
