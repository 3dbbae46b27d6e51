"""restblk-brick-register: has each start of this Python make restblk known to
os-brick and Nova, by a line in a .pth file beside the package.

Run it on compute hosts, as who owns the environment of nova-compute.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import restblk_brick

NAME = 'restblk_brick.pth'


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='restblk-brick-register', description=__doc__.split('\n\n')[0])
    parser.add_argument('--remove', action='store_true',
                        help='take the line away again')
    given = parser.parse_args()
    package = pathlib.Path(restblk_brick.__file__).parent
    path = package.parent / NAME
    try:
        if given.remove:
            path.unlink(missing_ok=True)
            print(f'removed {path}; restart nova-compute')
            return 0
        if path.parent.name not in ('site-packages', 'dist-packages'):
            print(f'{package} is not installed: Python reads .pth files of '
                  'site-packages alone; install the package with pip',
                  file=sys.stderr)
            return 1
        path.write_text('import restblk_brick.hook\n')
    except OSError as e:
        print(f'failed to write {path}: {e.strerror}; run this as who owns '
              'that folder', file=sys.stderr)
        return 1
    print(f'wrote {path}; restart nova-compute')
    return 0


if __name__ == '__main__':
    sys.exit(main())
