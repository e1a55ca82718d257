"""Keys in a PKCS #11 token: found, proven, put there, removed, and signed with.

PyKCS11, which both releases of Debian have, is imported here alone and only when a token is wanted. A session is opened
once in a process and logged in once; when the token was away, it is opened once more.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from fleetmint.errors import StateError
from fleetmint.gateway.ca_key.pin import BRING, Pin, PinError
from fleetmint.gateway.ca_key.url import Pkcs11Url
from fleetmint.x509 import keys

_T = TypeVar("_T")
# DER of the object identifier of P-256, the one curve of a device CA.
_P256 = bytes.fromhex("06082a8648ce3d030107")
_P256_OCTETS = 32
_INSTALL = "signing_service_token_packages names what is to be installed"
_SESSIONS: dict[Pkcs11Url, "Session"] = {}
_LIBRARIES: dict[str, Any] = {}
# A session has one signature under way at a time.
_ONE_AT_A_TIME = RLock()


class GoneError(StateError):
    """The token was away, or its session has ended: opening it again may help."""


class Session:
    """A session with a token, logged in."""

    def __init__(self, url: Pkcs11Url, pin: Pin, *, person: bool = False) -> None:
        """Open it; raise StateError when there is no such token, PinError when it refuses the PIN.

        After a wrong PIN only a `person` who brings another one has it tried.
        """
        self._url = url
        library = _library(url)
        self._pkcs11 = _pkcs11()
        with self._errors("be opened"):
            slot = _slot(library, url)
            self._session = library.openSession(slot, self._pkcs11.CKF_SERIAL_SESSION | self._pkcs11.CKF_RW_SESSION)
            self._log_in(library.getTokenInfo(slot).flags, pin, person)

    def _log_in(self, flags: int, pin: Pin, person: bool) -> None:
        p = self._pkcs11
        if flags & p.CKF_USER_PIN_LOCKED:
            raise PinError(f"the token ({self._url}) is locked: unlock it with its maker's tool and its SO PIN or PUK")
        if flags & p.CKF_USER_PIN_FINAL_TRY:
            raise PinError(
                f"the token ({self._url}) has one try left before it is locked, so no PIN is tried: log in with its"
                f" maker's tool, such as `pkcs11-tool --module {self._url.module} --login --list-objects`"
            )
        if flags & p.CKF_USER_PIN_COUNT_LOW and not person:
            raise PinError(
                f"the token ({self._url}) was given a wrong PIN, and another one could lock it, so none is tried: bring"
                f" the right one ({BRING})"
            )
        text = pin.get()
        try:
            self._session.login(text)
        except p.PyKCS11Error as error:
            if error.value == p.CKR_USER_ALREADY_LOGGED_IN:
                return
            if error.value in (p.CKR_PIN_INCORRECT, p.CKR_PIN_LEN_RANGE, p.CKR_PIN_INVALID):
                pin.note_refused()
                raise PinError(
                    f"the token ({self._url}) refuses the PIN in {pin.path}; it is not tried again, since that would"
                    f" lock it: bring the right one ({BRING})"
                ) from error
            raise

    def keys(self) -> Iterator[tuple[Any, bytes]]:
        """Yield handle and CKA_ID of the private EC keys that fit the URL."""
        p = self._pkcs11
        template = [(p.CKA_CLASS, p.CKO_PRIVATE_KEY), (p.CKA_KEY_TYPE, p.CKK_EC), (p.CKA_LABEL, self._url.label)]
        template += [(p.CKA_ID, self._url.id)] if self._url.id is not None else []
        with self._errors("be searched"):
            for handle in self._session.findObjects(template):
                found, always = self._session.getAttributeValue(handle, [p.CKA_ID, p.CKA_ALWAYS_AUTHENTICATE])
                if always:
                    raise StateError(
                        f"the key {self._url.label!r} of the token ({self._url}) wants its PIN for each signature:"
                        " put it where it is asked for once, on a YubiKey not in slot 9c"
                    )
                yield handle, bytes(found or b"")

    def sign(self, handle: Any, digest: bytes) -> bytes:
        """Return an ECDSA signature, r and s in one piece as PKCS #11 has it."""
        with self._errors("sign"):
            return bytes(self._session.sign(handle, digest, self._pkcs11.Mechanism(self._pkcs11.CKM_ECDSA, None)))

    def create(self, key: ec.EllipticCurvePrivateKey, identifier: bytes) -> None:
        """Put a private key into the token, which gives it to nobody again."""
        p = self._pkcs11
        template = [
            (p.CKA_CLASS, p.CKO_PRIVATE_KEY), (p.CKA_KEY_TYPE, p.CKK_EC), (p.CKA_TOKEN, True), (p.CKA_PRIVATE, True),
            (p.CKA_SENSITIVE, True), (p.CKA_EXTRACTABLE, False), (p.CKA_SIGN, True), (p.CKA_LABEL, self._url.label),
            (p.CKA_ID, identifier), (p.CKA_EC_PARAMS, _P256),
            (p.CKA_VALUE, key.private_numbers().private_value.to_bytes(_P256_OCTETS, "big")),
        ]  # fmt: skip
        try:
            self._session.createObject(template)
        except p.PyKCS11Error as error:
            raise StateError(
                f"the token ({self._url}) takes no key from outside ({error}): put the key of the device CA there with"
                " its maker's tool, then run this again; docs/issuing-key.md says how"
            ) from error

    def destroy(self, handle: Any) -> None:
        """Remove a key from the token."""
        with self._errors("remove a key"):
            self._session.destroyObject(handle)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        p = self._pkcs11
        try:
            yield
        except p.PyKCS11Error as error:
            gone = {
                p.CKR_SESSION_HANDLE_INVALID, p.CKR_SESSION_CLOSED, p.CKR_DEVICE_REMOVED, p.CKR_DEVICE_ERROR,
                p.CKR_TOKEN_NOT_PRESENT, p.CKR_USER_NOT_LOGGED_IN, p.CKR_OBJECT_HANDLE_INVALID,
                p.CKR_KEY_HANDLE_INVALID,
            }  # fmt: skip
            kind = GoneError if error.value in gone else StateError
            raise kind(
                f"the token ({self._url}) cannot {what} ({error}): see that it is plugged in and"
                f" `pkcs11-tool --module {self._url.module} --list-slots` lists it"
            ) from error


class TokenKey(ec.EllipticCurvePrivateKey):
    """A private key that stays in its token: it signs, and nothing else."""

    def __init__(self, url: Pkcs11Url, pin: Pin, public_key: ec.EllipticCurvePublicKey) -> None:
        """Find the key of `public_key`; raise StateError when the token has none that proves to be it."""
        self._url, self._pin, self._public_key = url, pin, public_key
        self._handle = _with_session(url, pin, self._find)

    def sign(
        self, data: bytes | bytearray | memoryview, signature_algorithm: ec.EllipticCurveSignatureAlgorithm
    ) -> bytes:
        """Return a signature in DER, as a key of the library does."""
        digest = _digest(data, signature_algorithm)

        def sign(session: Session) -> bytes:
            if _SESSIONS.get(self._url) is not self._session:
                self._handle = self._find(session)
            return session.sign(self._handle, digest)

        return _der(_with_session(self._url, self._pin, sign))

    def _find(self, session: Session) -> Any:
        wanted = identifier(self._public_key)
        for handle, _ in sorted(session.keys(), key=lambda found: found[1] != wanted):
            if _belongs(session, handle, self._public_key):
                self._session = session
                return handle
        raise KeyNotThereError(
            f"the token ({self._url}) has no key {self._url.label!r} of this device CA: run gateway.yml, which puts it"
            " there, or plug in the right token"
        )

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public key that it proved to have."""
        return self._public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        """Its curve."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """Bits of its curve."""
        return self.curve.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Refuse: a CA signs."""
        raise StateError("a key in a token only signs")

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """Refuse: it does not leave its token."""
        raise StateError("a key in a token does not leave it")

    def private_bytes(self, *_: Any, **__: Any) -> bytes:
        """Refuse: it does not leave its token."""
        raise StateError("a key in a token does not leave it")

    def __copy__(self) -> "TokenKey":
        """Return itself: there is one key."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "TokenKey":
        """Return itself: there is one key."""
        return self


class KeyNotThereError(StateError):
    """The token is there, and the key is not."""


def import_key(url: Pkcs11Url, pin: Pin, key: ec.EllipticCurvePrivateKey) -> None:
    """Put `key` into the token unless it is there; raise StateError when it does not take it."""
    if not isinstance(key.curve, ec.SECP256R1):
        raise StateError("a device CA has a P-256 key, and this is another one")

    def put(session: Session) -> None:
        if url.id is not None and list(session.keys()):
            raise StateError(
                f"the token ({url}) has another key {url.label!r} with this id already: leave the id out of the URL, so"
                " that both CAs of a rollover find room, or remove that key"
            )
        session.create(key, url.id or identifier(key.public_key()))

    try:
        TokenKey(url, pin, key.public_key())
    except KeyNotThereError:
        _with_session(url, pin, put)
        TokenKey(url, pin, key.public_key())  # what was put there signs


def remove_key(url: Pkcs11Url, pin: Pin, public_key: ec.EllipticCurvePublicKey) -> None:
    """Remove the key of `public_key` from the token, if it is there."""

    def remove(session: Session) -> None:
        for handle, _ in list(session.keys()):
            if _belongs(session, handle, public_key):
                session.destroy(handle)

    _with_session(url, pin, remove)


def try_pin(url: Pkcs11Url, pin: Pin) -> None:
    """Log in anew with a PIN that a person has brought, once; raise PinError when the token refuses it."""
    _SESSIONS.pop(url, None)
    Session(url, pin, person=True)


def identifier(public_key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the CKA_ID under which a key is put into a token."""
    return keys.spki_sha256(public_key)[:20]


def _with_session(url: Pkcs11Url, pin: Pin, run: Callable[[Session], _T]) -> _T:
    """Return what `run` makes of the session; when the token was away, of a new one."""
    with _ONE_AT_A_TIME:
        if url not in _SESSIONS:
            _SESSIONS[url] = Session(url, pin)
            return run(_SESSIONS[url])
        try:
            return run(_SESSIONS[url])
        except GoneError:
            del _SESSIONS[url]
            _SESSIONS[url] = Session(url, pin)
            return run(_SESSIONS[url])


def _belongs(session: Session, handle: Any, public_key: ec.EllipticCurvePublicKey) -> bool:
    digest = hashlib.sha256(b"fleetmint" + os.urandom(16)).digest()
    try:
        signature = _der(session.sign(handle, digest))
        public_key.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    except (InvalidSignature, ValueError):
        return False
    return True


def _digest(data: bytes | bytearray | memoryview, algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
    if isinstance(algorithm.algorithm, utils.Prehashed):
        return bytes(data)
    hashing = hashes.Hash(algorithm.algorithm)
    hashing.update(data)
    return hashing.finalize()


def _der(raw: bytes) -> bytes:
    half = len(raw) // 2
    return utils.encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


def _pkcs11() -> Any:
    try:
        import PyKCS11
    except ImportError as error:
        raise StateError(
            "python3-pykcs11 is not installed, which speaks with tokens: gateway.yml installs it where"
            " signing_service_ca_key is a PKCS #11 URL"
        ) from error
    return PyKCS11


def _library(url: Pkcs11Url) -> Any:
    name = str(url.module)
    if name not in _LIBRARIES:
        if os.geteuid() == 0:
            _refuse_foreign(url.module)
        library = _pkcs11().PyKCS11Lib()
        try:
            library.load(name)
        except _pkcs11().PyKCS11Error as error:
            raise StateError(f"the PKCS #11 module {name} cannot be loaded ({error}): {_INSTALL}") from error
        _LIBRARIES[name] = library
    return _LIBRARIES[name]


def _refuse_foreign(module: Path) -> None:
    """Raise StateError for a module that somebody else may change: the URL is in the directory of the service."""
    try:
        path = module.resolve(strict=True)
        foreign = [each for each in (path, *path.parents) if (found := each.stat()).st_uid or found.st_mode & 0o022]
    except OSError as error:
        raise StateError(f"the PKCS #11 module {module} cannot be loaded ({error.strerror}): {_INSTALL}") from error
    if foreign:
        raise StateError(
            f"the PKCS #11 module {module} is not loaded as root: others than root may change {foreign[0]}"
        )


def _slot(library: Any, url: Pkcs11Url) -> int:
    fields = {"token": "label", "serial": "serialNumber", "manufacturer": "manufacturerID", "model": "model"}
    found, seen = [], []
    for slot in library.getSlotList(tokenPresent=True):
        info = library.getTokenInfo(slot)
        said = {name: str(getattr(info, field)).rstrip(" \0") for name, field in fields.items()}
        seen.append(f"{said['token']} (serial {said['serial']})")
        if all(said[name] == value for name, value in url.token):
            found.append(slot)
    if len(found) != 1:
        there = ", ".join(seen) or "none"
        what = f"{len(found)} tokens fit" if found else "there is no token"
        raise StateError(
            f"{what} ({url}); the module {url.module} sees: {there}. Plug it in, see that the account fleetmint may use"
            " it (signing_service_token_groups), or mend the URL"
        )
    return int(found[0])
