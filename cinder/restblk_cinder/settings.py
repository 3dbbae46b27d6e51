"""From a volume's type to what the daemon keeps with the volume."""

import dataclasses

from oslo_log import log as logging

from cinder import exception
from cinder.i18n import _

from restblk_cinder import records

LOG = logging.getLogger(__name__)

DURABILITY = 'restblk:durability'

# Cinder's word, and ours. With _per_gb and _per_gb_min a limit grows with the
# volume; restblk limits reads and writes together.
_LIMITS = {'total_iops_sec': 'iops', 'total_iops_sec_max': 'iops_burst',
           'total_bytes_sec': 'bytes_per_s',
           'total_bytes_sec_max': 'bytes_burst'}
_SCALED = ('total_iops_sec', 'total_bytes_sec')
_KEYS = set(_LIMITS).union(*(
    (f'{key}_per_gb', f'{key}_per_gb_min') for key in _SCALED))


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a volume is to be like."""

    durability: str
    limits: dict[str, int]


def of_type(type_id: str | None, size_gb: int, layout: str,
            default_durability: str) -> Settings:
    """The settings of a volume of this type and size."""
    specs = records.extra_specs(type_id)
    if specs.get('multiattach', '').lower().endswith('true'):
        _refuse(_('restblk volumes have one writer: a type with multiattach '
                  'is not possible'))
    durability = specs.get(DURABILITY)
    if durability not in (None, 'local', 'remote'):
        _refuse(_('%(key)s is "%(value)s": choose local or remote')
                % {'key': DURABILITY, 'value': durability})
    if durability and layout == 'direct':
        _refuse(_('%s is for back ends with restblk_layout = log')
                % DURABILITY)
    return Settings(durability or default_durability,
                    _limits(records.qos(type_id), size_gb))


def _limits(qos: dict, size_gb: int) -> dict[str, int]:
    consumer, specs = qos.get('consumer'), qos.get('specs') or {}
    if consumer not in ('back-end', 'both'):
        return {}
    unknown = sorted(set(specs) - _KEYS)
    if unknown and consumer == 'both':
        LOG.warning('QoS left to the front end alone: %s', ', '.join(unknown))
    elif unknown:
        _refuse(_('the QoS specs %(unknown)s are not possible: restblk limits '
                  'reads and writes together, by %(known)s')
                % {'unknown': ', '.join(unknown),
                   'known': ', '.join(sorted(_KEYS))})
    limits = {ours: _number(key, specs[key])
              for key, ours in _LIMITS.items() if key in specs}
    for key in _SCALED:
        if f'{key}_per_gb' in specs:
            scaled = size_gb * _number(key, specs[f'{key}_per_gb'])
            least = _number(key, specs.get(f'{key}_per_gb_min', 1))
            limits[_LIMITS[key]] = max(scaled, least)
    return limits


def _number(key: str, value: str | int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        _refuse(_('the QoS spec %(key)s is "%(value)s": give a whole number '
                  'of at least 1') % {'key': key, 'value': value})
    return number


def _refuse(reason: str) -> None:
    raise exception.VolumeDriverException(message=reason)
