"""The files of a device that is a Linux machine, where programs look for them.

    ca.pem  cert.pem  key.pem   what `tls_set` of paho and its like take; the last two lead into the slot in use
    client.json                 who this is and where its gateway is, for programs
    bundle.bin                  the trust bundle that ca.pem is made of
    slots/a/  slots/b/          a key and its certificate each; slots/in-use leads to one of them

The next identity grows in the slot that is not in use, and one renaming makes it the one in use. Every step leaves a
device that works when the power goes: the slot in use is not touched before that.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import commands, files
from fleetmint.documents import client
from fleetmint.documents.client import CERTIFICATE, KEY
from fleetmint.documents.reach import FirstContact, Reach
from fleetmint.errors import FleetmintError, NameRefusedError, StateError
from fleetmint.trust import anchors, bundle
from fleetmint.trust.bundle import Bundle
from fleetmint.x509 import compat, keys, names
from fleetmint.x509.authority import load_certificate, pem, public_key_bytes

_SLOTS, _IN_USE = "slots", "in-use"
SLOTS = ("a", "b")


@dataclass(frozen=True)
class About:
    """Who a device is, and how it reaches its gateway."""

    device: str
    reach: Reach


@dataclass(frozen=True)
class Identity:
    """A certificate and its key in files, in one of the slots."""

    slot: str
    certificate: x509.Certificate
    certificate_path: Path
    key_path: Path

    @property
    def begins(self) -> datetime:
        """From when on it is valid: the gateway's clock puts identities in order."""
        return compat.not_before(self.certificate)


class Directory:
    """What a device has in its directory."""

    def __init__(self, path: Path) -> None:
        """Nothing is read or made yet."""
        self.path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes of this package out; raise StateError when one is in there, or root in somebody else's.

        What root wrote there the owner could not write again, and root would follow the owner's links.
        """
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise StateError(f"cannot open the directory {self.path}: {error.strerror}") from error
        try:
            owner = os.fstat(handle).st_uid
            if os.geteuid() == 0 and owner != 0:
                raise StateError(
                    f"{self.path} is not root's: run this as its owner, with `sudo -u '#{owner}'` before it"
                )
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise StateError(f"another fleetmint is at work in {self.path}: try again when it is done") from None
        finally:
            os.close(handle)

    @property
    def exists(self) -> bool:
        """Whether a device is in it."""
        return (self.path / client.ABOUT).exists()

    def about(self) -> About:
        """Return who this is; raise StateError when no device is here or the file is damaged."""
        if not self.exists:
            enrol = commands.fleetmint("enrol", "--token-file", "FILE", "--to", str(self.path))
            raise StateError(f"{self.path} holds no device: {enrol} makes it one")
        found = client.read(self.path)
        try:
            return About(names.device_id(found.name), found.reach)
        except NameRefusedError as error:
            raise StateError(
                f"{self.path} is {found.name}'s, which is no device: its certificate is renewed on the controller, and"
                " exported there again"
            ) from error

    def describe(self, about: About) -> None:
        """Say who this is and where its gateway is."""
        files.write_together([client.description(self.path, client.About(about.device, about.reach))])

    # --- Trust ---

    def bundle(self) -> Bundle | None:
        """Return the trust bundle in use, None before the first; raise StateError when it is damaged."""
        path = self.path / bundle.FILE
        return bundle.load(path) if path.exists() else None

    def trust(self, trusted: Bundle) -> None:
        """Trust this bundle from now on. It counts from the first of the two writes on; the second is made of it."""
        if self.bundle() != trusted:
            files.write_atomically(self.path / bundle.FILE, trusted.encode(), files.PUBLIC_FILE)
        self.write_anchors(trusted)

    def write_anchors(self, trusted: Bundle) -> None:
        """Make ca.pem say what the bundle says, if a run was cut before it did."""
        path, wanted = self.path / client.CA, anchors.pem(trusted.anchors)
        if not path.exists() or path.read_bytes() != wanted:
            files.write_atomically(path, wanted, files.PUBLIC_FILE)

    # --- Identities ---

    def adopt(self) -> None:
        """Take over key and certificate that the bench, or a copy without links, has left as plain files.

        They stay where they are until the identity is proven.
        """
        plain = [self.path / name for name in (CERTIFICATE, KEY)]
        if any((self._place(slot) / KEY).exists() for slot in SLOTS) or not all(map(_is_plain, plain)):
            return
        certificate, key = files.read(plain[0], "certificate"), files.read_private(plain[1], "key")
        place = self._place(SLOTS[0])
        files.write_together(
            [files.File(place / CERTIFICATE, certificate, files.PUBLIC_FILE), files.File(place / KEY, key)]
        )

    def in_use(self) -> str | None:
        """Return the slot in use, None before the first identity was proven."""
        try:
            slot = os.readlink(self.path / _SLOTS / _IN_USE)  # noqa: PTH115 - a name, not a path
        except OSError:
            return None
        return slot if slot in SLOTS else None

    def identities(self) -> list[Identity]:
        """Return the slots that hold both a key and its certificate, the newest first: the gateway may know it."""
        found = [each for slot in SLOTS if (each := self._identity(slot)) is not None]
        in_use = self.in_use()
        return sorted(found, key=lambda each: (each.begins, each.slot == in_use), reverse=True)

    def identity(self, slot: str) -> Identity:
        """Return the identity in a slot that was filled; raise StateError when the disk did not keep it."""
        found = self._identity(slot)
        if found is None:
            raise StateError(f"{self._place(slot)} does not hold what was written there: is the disk failing?")
        return found

    def request_key(self, make: Callable[[], ec.EllipticCurvePrivateKey]) -> tuple[str, ec.EllipticCurvePrivateKey]:
        """Return the free slot and the key in it, for a certificate request; the key is on the disk by then.

        A key that waits for its certificate is used again: the reply to its request may have been lost, and the same
        key gets the same certificate.
        """
        slot = self._free()
        place = self._place(slot)
        if (place / KEY).exists() and not (place / CERTIFICATE).exists():
            try:
                return slot, self.key(slot)
            except FleetmintError:  # half a key, or none: nothing was signed for it
                pass
        self.discard(slot)
        key = make()
        files.write_together([files.File(place / KEY, keys.plain_pem(key))])
        return slot, key

    def key(self, slot: str) -> ec.EllipticCurvePrivateKey:
        """Return the key in a slot; raise StateError when there is none that can be read."""
        path = self._place(slot) / KEY
        return keys.load_key(files.read_private(path, "key"), None, str(path))

    def keep(self, slot: str, certificate: x509.Certificate) -> None:
        """Store the certificate for the key in a slot; the slot in use stays the same."""
        files.write_atomically(self._place(slot) / CERTIFICATE, pem(certificate), files.PUBLIC_FILE)

    def keep_beside(self, slot: str, certificate: x509.Certificate) -> str:
        """Store a newer certificate for the key of `slot` in the other slot, with that key; return the other slot.

        What is there already is not written again.
        """
        other = _other(slot)
        if certificate == load_certificate(self._place(slot) / CERTIFICATE):
            return slot
        found = self._identity(other)
        if found is None or found.certificate != certificate:
            self.discard(other)
            place = self._place(other)
            # the certificate goes first: a key alone would be taken for one that waits
            files.write_together(
                [
                    files.File(place / CERTIFICATE, pem(certificate), files.PUBLIC_FILE),
                    files.File(place / KEY, keys.plain_pem(self.key(slot))),
                ]
            )
        return other

    def put_in_use(self, slot: str) -> bool:
        """Use this slot from now on, its identity was proven on a connection; return whether that is news."""
        news = self.in_use() != slot
        if news:
            files.link_atomically(self.path / _SLOTS / _IN_USE, slot)
        for name in (CERTIFICATE, KEY):
            target = f"{_SLOTS}/{_IN_USE}/{name}"
            if not (self.path / name).is_symlink() or os.readlink(self.path / name) != target:  # noqa: PTH115
                files.link_atomically(self.path / name, target)
        return news

    def discard(self, slot: str) -> None:
        """Empty a slot that is not in use."""
        for name in (KEY, CERTIFICATE):
            files.remove(self._place(slot) / name)

    def _identity(self, slot: str) -> Identity | None:
        place = self._place(slot)
        if not (place / KEY).exists() or not (place / CERTIFICATE).exists():
            return None
        try:
            certificate = load_certificate(place / CERTIFICATE)
            if keys.spki(self.key(slot).public_key()) != public_key_bytes(certificate):
                return None
        except FleetmintError:  # as good as none: the other slot, or the token, is what is left
            return None
        return Identity(slot, certificate, place / CERTIFICATE, place / KEY)

    def _free(self) -> str:
        in_use = self.in_use()
        if in_use is not None:
            return _other(in_use)
        return next((slot for slot in SLOTS if self._identity(slot) is None), SLOTS[-1])

    def _place(self, slot: str) -> Path:
        return self.path / _SLOTS / slot


def prepare(path: Path, about: About, contact: FirstContact) -> Directory:
    """Make the directory of a device, or take it up again; the newer one of two trust bundles is kept.

    Raises StateError when another device, or one of another site, is in there.
    """
    files.make_private_dir(path)
    found = Directory(path)
    if found.exists and found.about().device != about.device:
        raise StateError(f"{path} holds {found.about().device}, not {about.device}: choose another directory")
    held = found.bundle()
    if held is not None and held.site != contact.bundle.site:
        raise StateError(f"{path} belongs to the site {held.site}, not to {contact.bundle.site}: choose another one")
    if held is None or bundle.refusal(held, contact.bundle) is None:
        held = contact.bundle
    found.trust(held)
    if not found.exists or found.about() != about:
        found.describe(about)
    return found


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]
