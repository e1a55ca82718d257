"""Whose board is this: the identity in a flash, and whether a burn may touch it. Reads only, and knows no board."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fleetmint.errors import ImageError
from fleetmint.flash.table import PartitionTable
from fleetmint.nvs import keys
from fleetmint.nvs.decode import decode
from fleetmint.nvs.layout import PAGE_SIZE

# What a device makes and stores by itself, and could not get back.
_OWN = {*keys.KEYS, *keys.CERTIFICATES}
# What a device changes in the course of its life, without being another one for it.
_CHANGING = {keys.SLOT, keys.CLOCK_FLOOR}


@dataclass(frozen=True)
class Identity:
    """A device's identity as an NVS holds it, at `offset` of the flash."""

    device_id: str
    offset: int
    size: int
    values: dict[str, int | bytes] = field(repr=False)


def identity_of(nvs: bytes, offset: int) -> Identity | None:
    """Return the identity in an NVS image, None when it holds none; a damaged entry counts as missing."""
    values = decode(nvs, skip_damaged=True).get(keys.NAMESPACE, {})
    device_id = values.get(keys.DEVICE_ID)
    if not isinstance(device_id, bytes):
        return None
    return Identity(device_id.decode("utf-8", "backslashreplace"), offset, len(nvs), values)


def find_identity(
    read: Callable[[int, int], bytes], table: bytes, places: Iterable[tuple[int, int]], flash_size: int
) -> Identity | None:
    """Return the identity in a flash of `flash_size` bytes, which `read(offset, size)` reads.

    It is looked for in the NVS partition of `table` (the flash's own, which may be garbage), then at `places`
    (offset and size), where a burn that did not get as far as the table may have put it.
    """
    candidates = [*_nvs_in(table), *places]
    for offset, size in dict.fromkeys(candidates):
        if size % PAGE_SIZE == 0 and offset + size <= flash_size:
            found = identity_of(read(offset, size), offset)
            if found is not None:
                return found
    return None


def has_enrolled(found: Identity, wanted: Identity) -> bool:
    """Whether the device made a key or got a certificate since it was burned with `wanted`: nobody has a copy of it."""
    return bool(_OWN & found.values.keys() - wanted.values.keys())


def keeps_nvs(found: Identity, wanted: Identity) -> bool:
    """Whether the NVS of a board with the identity `found` stays when `wanted`, the same device, is to be burned.

    It does when the device has enrolled, and when it knows all that `wanted` would tell it.
    """
    if (found.offset, found.size) != (wanted.offset, wanted.size):
        return False
    told = {key: value for key, value in wanted.values.items() if key not in _CHANGING}
    return has_enrolled(found, wanted) or all(found.values.get(key) == value for key, value in told.items())


def _nvs_in(table: bytes) -> list[tuple[int, int]]:
    try:
        nvs = PartitionTable.from_bytes(table).find("nvs")
    except ImageError:
        return []
    return [(nvs.offset, nvs.size)]
