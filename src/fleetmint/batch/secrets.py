"""What a batch keeps until its boards are burnt, encrypted under the key of the batch (see sealed.py).

    batch.key       the key, wrapped under the site's passphrase `bench`; whoever destroys it destroys what follows
    settings.bin    what the devices get alike: network, gateway, trust bundle; replaced when that changes
    secrets.bin     what each device gets for itself; appended to when the batch grows

Identities are written here before the ledger or the registration know them, so a run that is cut off finds the same
ones again.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from fleetmint import commands
from fleetmint.batch import sealed
from fleetmint.batch.sealed import BatchKey, SealedFile
from fleetmint.batch.settings import Settings, from_json
from fleetmint.errors import StateError
from fleetmint.passphrases import Source

SECRETS_FILE, SETTINGS_FILE = "secrets.bin", "settings.bin"
# Devices in a frame: few enough to hold in memory, enough that the encryption of each costs nothing.
CHUNK = 256


@dataclass(frozen=True)
class Secret:
    """What one device gets for itself: a token, or a key (SEC 1 DER) and a certificate (DER).

    `nvs_key` encrypts its NVS: 32 bytes for an eFuse or 64 for a partition nvs_keys; `flash_key`, 32 bytes for an
    eFuse, the rest of its flash. See batch/encryption.py.
    """

    token: str | None = field(default=None, repr=False)
    token_expires: str | None = None
    key: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = None
    nvs_key: bytes | None = field(default=None, repr=False)
    flash_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class BatchSecrets:
    """The secrets of one batch: what its devices are and get, and what each gets for itself."""

    settings: Settings
    devices: Mapping[str, Secret]

    @property
    def chip(self) -> str:
        """The chip of its boards."""
        return self.settings.chip

    @property
    def layout(self) -> str | None:
        """The layout of their flash, one of flash.table.LAYOUTS; None leaves it to the station."""
        return self.settings.layout

    @property
    def nvs_encryption(self) -> str:
        """How the NVS of its devices is encrypted, one of encryption.SCHEMES."""
        return self.settings.nvs_encryption

    @property
    def identity(self) -> str:
        """Where its devices have key and certificate, one of identity.IDENTITIES."""
        return self.settings.identity

    @property
    def flash_encryption(self) -> str:
        """Whether their flash is encrypted, one of encryption.FLASH_SCHEMES."""
        return self.settings.flash_encryption

    def of(self, device: str) -> Secret:
        """Return the secret of a device; raise StateError for one that is not of this batch."""
        try:
            return self.devices[device]
        except KeyError:
            raise StateError(
                f"there is no secret of {device}: restore {SECRETS_FILE} of its batch from the latest backup"
            ) from None


@dataclass(frozen=True)
class Store:
    """The sealed files of one batch, opened with its key."""

    directory: Path
    key: BatchKey

    def settings(self) -> Settings | None:
        """Return the settings, None when a run was cut before them; raise StateError when they are damaged."""
        file = self._settings_file()
        if not file.path.exists():
            return None
        for content in file.read():
            return from_json(content)
        raise _damaged(file.path)

    def save_settings(self, settings: Settings) -> None:
        """Replace the settings."""
        self._settings_file().replace(settings.to_json())

    def secrets(self) -> "SecretsFile":
        """Return the file with the secret of each device."""
        return SecretsFile(SealedFile(self.directory / SECRETS_FILE, "secrets", self.key))

    def _settings_file(self) -> SealedFile:
        return SealedFile(self.directory / SETTINGS_FILE, "settings", self.key)


@dataclass(frozen=True)
class SecretsFile:
    """The secret of each device, in the order in which they were made."""

    _file: SealedFile

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._file.path

    def read(self) -> Iterator[tuple[str, Secret]]:
        """Yield id and secret of each device until the end, or until what a cut run left or damage made of it."""
        if not self.path.exists():
            return
        for content in self._file.read():
            for row in json.loads(content):
                yield row[0], _secret(row)

    @property
    def whole(self) -> bool:
        """Whether the last reading came to the end of the file."""
        return not self.path.exists() or self._file.whole

    def append(self, secrets: Iterable[tuple[str, Secret]]) -> None:
        """Append secrets behind what was read, which has to be all of it; they are on the disk when this returns."""
        rows = iter(secrets)
        chunks = iter(lambda: [_row(device, secret) for device, secret in islice(rows, CHUNK)], [])
        self._file.append(json.dumps(chunk, separators=(",", ":")).encode() for chunk in chunks)


def load(directory: Path, source: Source) -> BatchSecrets:
    """Return the secrets of the batch in `directory`; `source` has the passphrase `bench`.

    Raises StateError when they are missing, damaged or cut short, SecretError when the passphrase does not open them.
    """
    store = open_store(directory, source)
    with sealed.locked(directory, alone=False):
        settings, file = store.settings(), store.secrets()
        devices = dict(file.read())
        if settings is None or not devices or not file.whole:
            raise _damaged(file.path)
    return BatchSecrets(settings, devices)


def open_store(directory: Path, source: Source) -> Store:
    """Return the sealed files of the batch in `directory`; raises as sealed.open_key does."""
    return Store(directory, sealed.open_key(directory, source))


def _damaged(path: Path) -> StateError:
    return StateError(
        f"{path} is cut short or damaged: run {commands.playbook('factory.yml', batch='FILE')} again, which goes"
        " on where a run was cut; if that says the same, restore it from a backup"
    )


def _row(device: str, secret: Secret) -> list[str | None]:
    row = [device, secret.token, secret.token_expires, _text(secret.key), _text(secret.certificate)]
    more = [_text(secret.nvs_key), _text(secret.flash_key)]
    return row + more[: 2 if secret.flash_key else 1 if secret.nvs_key else 0]


def _secret(row: list[Any]) -> Secret:
    return Secret(row[1], row[2], *map(_bytes, row[3:]))


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
