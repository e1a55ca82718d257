"""The files beside ca.crt: which key they are, how it is kept, and changing that."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import files, notices
from fleetmint.errors import StateError
from fleetmint.gateway.ca_key import pin, sealed, token, url, wanted
from fleetmint.gateway.ca_key.wanted import PLAIN, SEALED, TOKEN
from fleetmint.gateway.config import Config
from fleetmint.plan import Plan
from fleetmint.x509 import keys
from fleetmint.x509.authority import CERTIFICATE, KEY, Authority, load_certificate, public_key_bytes

_MODE = 0o400
# What a way to keep a key leaves in the directory of its CA.
_FILES = {PLAIN: KEY, SEALED: "ca.cred", TOKEN: "ca.pkcs11"}
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
    as_wanted = ways == [_wanted(config)] and (ways != [TOKEN] or _text(directory, TOKEN) == config.device_ca_key)
    return Kept(" and ".join(_words(directory, way) for way in ways) or "nowhere", as_wanted)


def load(config: Config, directory: Path) -> Authority:
    """Return the CA in `directory`; raise StateError when its key is missing, damaged, not its own or does not open."""
    certificate = load_certificate(directory / CERTIFICATE)
    ways = _ways(directory) or [PLAIN]
    # several after an interruption; the one that is wanted was written last
    way = _wanted(config) if _wanted(config) in ways else ways[0]
    path = directory / _FILES[way]
    if way == TOKEN:
        return Authority(certificate, token.TokenKey(*_token(config, directory), _public_key(directory)))
    data = files.read_private(path, "the CA's key", refuse=True)
    if way == SEALED:
        data = sealed.open_sealed(config.seal_socket, _CREDENTIAL, data, f"the key of the device CA in {path}")
    key = keys.load_key(data, None, str(path))
    if keys.spki(key.public_key()) != public_key_bytes(certificate):
        raise StateError(f"{path} does not belong to {directory / CERTIFICATE}: restore both from one backup")
    return Authority(certificate, key)


def put(config: Config, directory: Path, key: ec.EllipticCurvePrivateKey, others: Iterable[Path] = ()) -> None:
    """Keep `key` in `directory` as gateway.toml wants it; it may be kept there in another way still, see `drop`.

    What another token held of it goes, unless one of the directories `others` says that its CA is there, too.
    """
    way = _wanted(config)
    data = keys.plain_pem(key)
    if way == SEALED:
        data = sealed.seal(config.seal_socket, _CREDENTIAL, data)
    if way == TOKEN:
        where = url.parse(config.device_ca_key)
        token.import_key(where, pin.of(config, where), key)
        data = config.device_ca_key.encode()
        if TOKEN in _ways(directory) and _text(directory, TOKEN) != config.device_ca_key:
            _leave_token(config, directory, others)
            token.import_key(where, pin.of(config, where), key)  # again, should both URLs mean one token
    files.write_atomically(directory / _FILES[way], data, _MODE)


def drop(config: Config, directory: Path, others: Iterable[Path] = ()) -> None:
    """Remove every copy of the key in `directory` but the one that gateway.toml wants; of `others` as `put` says."""
    _remove(config, directory, [way for way in _ways(directory) if way != _wanted(config)], others)


def discard(config: Config, directory: Path, others: Iterable[Path]) -> None:
    """Remove the key in `directory` in every way, from its token unless it is that of one of `others`."""
    _remove(config, directory, _ways(directory), others)


def _remove(config: Config, directory: Path, ways: Iterable[str], others: Iterable[Path]) -> None:
    for way in ways:
        path = directory / _FILES[way]
        if way == TOKEN:
            _leave_token(config, directory, others)
        path.chmod(files.PRIVATE_FILE)
        files.destroy(path)


def _leave_token(config: Config, directory: Path, others: Iterable[Path]) -> None:
    """Remove the key in `directory` from its token; when that is gone, say that it may be in there still."""
    mine = _text(directory, TOKEN), keys.spki(_public_key(directory))
    same = [other for other in others if other != directory and TOKEN in _ways(other)]
    if any((_text(other, TOKEN), keys.spki(_public_key(other))) == mine for other in same):
        return
    try:
        token.remove_key(*_token(config, directory), _public_key(directory))
    except StateError as error:
        notices.add(f"the key of a device CA may be in its token still: {error}")


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


def plan_pin(config: Config, data: bytes) -> Plan[None]:
    """Plan to keep the PIN in `data` sealed for the token of gateway.toml, and to log in with it once.

    It is kept before it is tried, so that one that is wrong is known by the next run and not tried again.
    """
    text = pin.checked(data)
    if _wanted(config) != TOKEN:
        raise StateError(f"device_ca_key is {config.device_ca_key}, which has no PIN: set signing_service_ca_key first")
    where = url.parse(config.device_ca_key)
    if where.pin_file is not None:
        raise StateError(f"the PKCS #11 URL says that the PIN is in {where.pin_file}: write it there, or take that out")
    if pin.held(config) == text:
        pin.of(config, where).get()  # refused before
        return Plan()

    def bring() -> None:
        files.make_private_dir(config.device_ca)
        files.write_atomically(config.device_ca / pin.FILE, pin.seal(config, text), _MODE)
        token.try_pin(where, pin.of(config, where))

    return Plan(("keep the PIN of the token sealed",), bring)


def _token(config: Config, directory: Path) -> tuple[url.Pkcs11Url, pin.Pin]:
    where = url.parse(_text(directory, TOKEN))
    return where, pin.of(config, where)


def _public_key(directory: Path) -> ec.EllipticCurvePublicKey:
    found = load_certificate(directory / CERTIFICATE).public_key()
    if not isinstance(found, ec.EllipticCurvePublicKey):
        raise StateError(f"{directory / CERTIFICATE} is no certificate of a device CA: its key is no EC key")
    return found


def _wanted(config: Config) -> str:
    return wanted.way(config.device_ca_key)


def _ways(directory: Path) -> list[str]:
    return [way for way, name in _FILES.items() if (directory / name).exists()]


def _text(directory: Path, way: str) -> str:
    return files.read(directory / _FILES[way], "key").decode(errors="replace")


def _words(directory: Path, way: str) -> str:
    try:
        if way == SEALED:
            return f"sealed ({sealed.sealed_with(files.read(directory / _FILES[way], 'credential'))})"
        return _text(directory, way) if way == TOKEN else way
    except StateError:  # another account asks
        return way
