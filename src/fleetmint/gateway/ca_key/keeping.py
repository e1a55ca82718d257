"""The files beside ca.crt: which key they are, how it is kept, and changing that."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import files
from fleetmint.errors import StateError
from fleetmint.gateway.ca_key import sealed
from fleetmint.gateway.ca_key.wanted import PLAIN, SEALED
from fleetmint.gateway.config import Config
from fleetmint.x509 import keys
from fleetmint.x509.authority import CERTIFICATE, KEY, Authority, load_certificate, public_key_bytes

_MODE = 0o400
# What a way to keep a key leaves in the directory of its CA.
_FILES = {PLAIN: KEY, SEALED: "ca.cred"}
_CREDENTIAL = "device-ca-key"


@dataclass(frozen=True)
class Kept:
    """How the key of a CA is kept: in words, and whether that is how gateway.toml wants it, and no other way too."""

    how: str
    as_wanted: bool


def files_of(directory: Path) -> tuple[Path, ...]:
    """Return what has to change when the key in `directory` does; where there is none, where a plain one would be."""
    return tuple(directory / _FILES[way] for way in _ways(directory)) or (directory / KEY,)


def held(directory: Path) -> bool:
    """Return whether there is a key in `directory`, in whatever way."""
    return bool(_ways(directory))


def describe(config: Config, directory: Path) -> Kept:
    """Return how the key in `directory` is kept, without opening it."""
    ways = _ways(directory)
    if not ways:
        return Kept("nowhere", as_wanted=False)
    return Kept(" and ".join(_words(directory, way) for way in ways), as_wanted=ways == [_wanted(config)])


def load(config: Config, directory: Path) -> Authority:
    """Return the CA in `directory`; raise StateError when its key is missing, damaged, not its own or does not open."""
    certificate = load_certificate(directory / CERTIFICATE)
    ways = _ways(directory) or [PLAIN]
    # several after an interruption; the one that is wanted was written last
    way = _wanted(config) if _wanted(config) in ways else ways[0]
    path = directory / _FILES[way]
    data = files.read_private(path, "the CA's key", refuse=True)
    if way == SEALED:
        data = sealed.open_sealed(config.seal_socket, _CREDENTIAL, data, f"the key of the device CA in {path}")
    key = keys.load_key(data, None, str(path))
    if keys.spki(key.public_key()) != public_key_bytes(certificate):
        raise StateError(f"{path} does not belong to {directory / CERTIFICATE}: restore both from one backup")
    return Authority(certificate, key)


def put(config: Config, directory: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Keep `key` in `directory` as gateway.toml wants it; it may be kept there in another way still, see `drop`."""
    way = _wanted(config)
    data = keys.plain_pem(key)
    if way == SEALED:
        data = sealed.seal(config.seal_socket, _CREDENTIAL, data)
    files.write_atomically(directory / _FILES[way], data, _MODE)


def drop(config: Config, directory: Path) -> None:
    """Remove every copy of the key in `directory` but the one that gateway.toml wants."""
    for way in _ways(directory):
        if way != _wanted(config):
            path = directory / _FILES[way]
            path.chmod(files.PRIVATE_FILE)
            files.destroy(path)


def misplaced(config: Config, directory: Path) -> Path | None:
    """Return the unencrypted key that lies in `directory` although gateway.toml wants none there."""
    path = directory / KEY
    return path if _wanted(config) != PLAIN and path.exists() else None


def unusable(config: Config, directory: Path) -> StateError | None:
    """Return why the key in `directory` cannot be used, for one that does not lie there in clear."""
    if set(_ways(directory)) <= {PLAIN}:
        return None
    try:
        load(config, directory)
    except StateError as error:
        return error
    return None


def _wanted(config: Config) -> str:
    return config.device_ca_key


def _ways(directory: Path) -> list[str]:
    return [way for way, name in _FILES.items() if (directory / name).exists()]


def _words(directory: Path, way: str) -> str:
    if way != SEALED:
        return way
    try:
        return f"sealed ({sealed.sealed_with(files.read(directory / _FILES[way], 'credential'))})"
    except StateError:  # another account asks
        return way
