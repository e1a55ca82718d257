"""The CAs of one site with what opens them: a root and what it signs, made once and never made again.

`server-next` is sealed: devices trust it from the factory on, and nobody uses it until the server CA is replaced.
store.py owns the files. create.py makes all of this; where the root was made in a ceremony, see external_root.py.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import files, passphrases
from fleetmint.ca.identifier import ROOT, CaId
from fleetmint.ca.store import CaStore, fingerprint
from fleetmint.errors import ClockError, SecretError, StateError
from fleetmint.x509 import compat, keys
from fleetmint.x509.authority import Authority, load_authority, organization


@dataclass(frozen=True)
class Hierarchy:
    """The CAs of `site` under `directory`, opened with the passphrases of `source`.

    `root_directory` is where the root's key lies, when that is not under `directory`.
    """

    directory: Path
    site: str
    source: passphrases.Source
    root_directory: Path | None = None

    @cached_property
    def store(self) -> CaStore:
        """The files of the CAs."""
        return CaStore(self.directory, self.root_directory)

    def authority(self, ca: CaId | str) -> Authority:
        """Open a CA, given by its identifier or its text; raise StateError when it is not this site's."""
        ca = CaId.parse(ca) if isinstance(ca, str) else ca
        place = self.store.key_place(ca)
        if ca.is_root:
            self.need_root("sign with it", ca)
        found = load_authority(place, self.source.read(ca.passphrase))
        of_site(self.site, place, found.certificate)
        if ca.is_root:
            own = self.store.certificate(ca)
            if own != found.certificate:
                raise StateError(
                    f"{place} holds another root ({fingerprint(found.certificate)}) than this site's"
                    f" ({fingerprint(own)}): plug in the right medium"
                )
        return found

    def need_root(self, what: str, ca: CaId = ROOT) -> None:
        """Raise StateError, saying what to plug in, unless the root's key is there to do `what`."""
        if self.store.has_key(ca):
            return
        which = f", SHA-256 {fingerprint(self.store.certificate(ca))}" if self.store.exists(ca) else ""
        raise StateError(
            f"the root's key is needed to {what}, and {self.store.key_path(ca)} is not there: plug in the medium that"
            f" holds the root of {self.site}{which}, or say with fleet_ca_root_dir where it is, and run this again"
        )

    def new_common_name(self, ca: CaId) -> str:
        """Return the CN of a new CA, which no CA of the site has had."""
        return self.store.new_common_name(self.site, ca)


def of_site(site: str, where: Path, certificate: x509.Certificate) -> None:
    """Raise StateError unless `certificate`, found at `where`, belongs to `site`."""
    found = organization(certificate)
    if found != site:
        raise StateError(
            f"{where} belongs to the site {found!r}, not to {site!r}: correct fleet_site or fleet_ca_dir, or restore"
            f" the CAs of {site!r} there"
        )


def check_clock(root: x509.Certificate, now: datetime) -> None:
    """Raise ClockError when `now` lies before the root was made: whatever were signed now would be wrong."""
    if now < compat.not_before(root):
        raise ClockError(
            f"the clock says {now:%Y-%m-%d %H:%M}Z, but the root was made on {compat.not_before(root):%Y-%m-%d}: set"
            " the clock of this machine and run this again; nothing was signed"
        )


def sealed_key(hierarchy: Hierarchy, ca: CaId, curve: str) -> tuple[ec.EllipticCurvePrivateKey, list[files.File]]:
    """Return the key of a CA, and the file to write for it: none when it existed.

    Raises SecretError when the passphrase is not the one that opens this site's other keys.
    """
    path, secret = hierarchy.store.key_path(ca), hierarchy.source.read(ca.passphrase)
    if path.exists():  # a run that was cut before the certificate: the key counts
        return keys.load_key(files.read_private(path, "the CA's key", refuse=True), secret, str(path)), []
    # A key sealed with a mistyped passphrase would be found out when it is too late.
    if siblings := _siblings(hierarchy, ca):
        keys.load_key(files.read_private(siblings[0], "the CA's key", refuse=True), secret, str(siblings[0]))
    elif not hierarchy.source.makes:
        raise SecretError(
            f"the first key of the {ca.title} wants a random passphrase, not one that somebody thought of: make the"
            " CAs with vault:DIRECTORY as source, or the root in a ceremony (docs/ceremony.md)"
        )
    key = keys.new_key(curve)
    return key, [files.File(path, keys.sealed_pem(key, secret))]


def _siblings(hierarchy: Hierarchy, ca: CaId) -> list[Path]:
    """Return the keys that the passphrase of a CA opens."""
    store = hierarchy.store
    if ca.is_root:
        path = store.key_path(ROOT)
        return [path] if path.exists() else []
    return store.issuing_keys()
