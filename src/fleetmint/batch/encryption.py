"""How the NVS of a batch is encrypted: whether, and where each device has its keys from.

    none    not at all: what MicroPython's stock build can read
    hmac    with keys that the device makes of a random HMAC key in its eFuses: `fleetmint efuse` puts it there
    flash   with random keys in a partition nvs_keys, which only flash encryption protects

Both need firmware that was built for it (docs/targets.md). And whether its flash is encrypted, with a random key of
each device: `fleetmint secure` burns that. It leaves out the NVS, which has to be encrypted by itself.
"""

import secrets
from dataclasses import dataclass

from fleetmint.errors import ImageError
from fleetmint.flash import encryption as flash
from fleetmint.flash.efuse import CHIPS_WITH_HMAC
from fleetmint.flash.job import Region
from fleetmint.flash.table import DATA, ENCRYPTED, FROM_FIRMWARE, NVS_KEYS, PartitionTable
from fleetmint.nvs.crypt import HMAC_KEY_SIZE, NvsKeys

NONE, HMAC, FLASH = "none", "hmac", "flash"
SCHEMES = (NONE, HMAC, FLASH)
AES128 = "aes128"
FLASH_SCHEMES = (NONE, AES128)
KEYS_REGION = "nvs_keys"


@dataclass(frozen=True)
class Encryption:
    """What encrypts the NVS of one device, and what else has to be in its flash for that."""

    keys: NvsKeys | None = None
    regions: tuple[Region, ...] = ()


def checked_scheme(scheme: str, chip: str) -> str:
    """Return the scheme; raise ImageError for one that does not exist or that the chip cannot do."""
    if scheme not in SCHEMES:
        raise ImageError(f"nvs_encryption {scheme!r} is unknown: choose one of {', '.join(SCHEMES)}")
    if scheme == HMAC and chip not in CHIPS_WITH_HMAC:
        raise ImageError(
            f"nvs_encryption hmac needs the HMAC peripheral of {', '.join(CHIPS_WITH_HMAC)}, which an {chip} lacks"
        )
    if scheme == FLASH and chip == "esp8266":
        raise ImageError("an esp8266 has no NVS and no flash encryption: nvs_encryption has to be none")
    return scheme


def checked_flash_encryption(scheme: str, chip: str, nvs_encryption: str, layout: str | None) -> str:
    """Return the scheme; raise ImageError for one that does not exist, or does not go with the rest of the batch."""
    if scheme not in FLASH_SCHEMES:
        raise ImageError(f"flash_encryption {scheme!r} is unknown: choose one of {', '.join(FLASH_SCHEMES)}")
    if scheme == NONE:
        return scheme
    if chip not in CHIPS_WITH_HMAC:
        raise ImageError(
            f"flash_encryption is for {', '.join(CHIPS_WITH_HMAC)}: the eFuses of an {chip} are others, or it has none"
        )
    if nvs_encryption == NONE:
        raise ImageError("flash_encryption leaves the NVS plain: say nvs_encryption, hmac or flash, too")
    if layout not in (None, FROM_FIRMWARE):
        raise ImageError(f"flash_encryption needs firmware that was built for it: layout has to be {FROM_FIRMWARE}")
    return scheme


def new_flash_key(scheme: str) -> bytes | None:
    """Return the key with which the flash of a new device is encrypted, at random; None where it is not."""
    return secrets.token_bytes(flash.KEY_SIZE) if scheme == AES128 else None


def new_key(scheme: str) -> bytes | None:
    """Return what a new device keeps for its encrypted NVS, at random; None where there is no encryption."""
    if scheme == HMAC:
        return secrets.token_bytes(HMAC_KEY_SIZE)
    return NvsKeys.new().data if scheme == FLASH else None


def encryption(scheme: str, key: bytes | None, table: PartitionTable) -> Encryption:
    """Return what encrypts the NVS of a device with this key, in a flash with this table.

    Raises ImageError where the keys would lie readable beside what they encrypt.
    """
    if scheme == NONE:
        return Encryption()
    if key is None:
        raise ImageError("the device has no key for its NVS: the batch was made before it was to be encrypted")
    if scheme == HMAC:
        return Encryption(NvsKeys.of_hmac_key(key))
    places = [row for row in table.partitions if (row.type, row.subtype) == (DATA, NVS_KEYS)]
    if not places:
        raise ImageError(
            "nvs_encryption flash needs a partition nvs_keys, and the partition table has none: use firmware that was"
            " built with one, or nvs_encryption hmac"
        )
    if not places[0].flags & ENCRYPTED:
        raise ImageError(
            f"the partition {places[0].name!r} is not marked `encrypted`: the keys would stay readable beside what they"
            " encrypt. Mark it in the firmware's partition table, and build the firmware with flash encryption"
        )
    keys, place = NvsKeys(key), table.writable(places[0].name)
    return Encryption(keys, (Region(place.offset, keys.to_partition(place.size), KEYS_REGION),))
