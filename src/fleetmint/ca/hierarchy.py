"""The CAs of one site as directories: a root and what it signs, made once and never made again.

    root/  server/  server-next/  operator/  factory/  device-<gateway>/     each with ca.key, ca.crt and crl.pem
    release/  bundle.bin                                                     see release.py and bundle.py
    incoming/  outgoing/  retired/                                           see generations.py and rollover/

`server-next` is sealed: devices trust it from the factory on, and nobody uses it until the server CA is replaced.
The root's key may lie elsewhere, on a medium that is away on ordinary days; its certificate and its CRL, which gateways
need every day, are always here. founding.py makes all of this; where the root was made in a ceremony, see offline.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import files, passphrases
from fleetmint.ca import generations
from fleetmint.errors import ClockError, SecretError, StateError
from fleetmint.x509 import compat, keys, names
from fleetmint.x509.authority import CERTIFICATE, KEY, Authority, load_authority, load_certificate, organization

ROOT = generations.ROOT
PROFILE_OF = {"server": "server-ca", "server-next": "server-ca", "operator": "operator-ca", "factory": "factory-ca"}


@dataclass(frozen=True)
class Hierarchy:
    """The CAs of `site` under `directory`, opened with the passphrases of `source`.

    `root_directory` is where the root's key lies, when that is not under `directory`.
    """

    directory: Path
    site: str
    source: passphrases.Source
    root_directory: Path | None = None

    def authority(self, name: str) -> Authority:
        """Open the CA called `name` (such as `factory`); raise StateError when it is not this site's."""
        directory = self.directory / name
        if secret_of(name) == passphrases.ROOT:
            directory = self.key_path(name).parent
            self.need_root("sign with it", name)
        found = load_authority(directory, self.source.read(secret_of(name)))
        of_site(self.site, directory, found.certificate)
        if secret_of(name) == passphrases.ROOT:
            own = load_certificate(self.directory / name / CERTIFICATE)
            if own != found.certificate:
                raise StateError(
                    f"{directory} holds another root ({fingerprint(found.certificate)}) than this site's"
                    f" ({fingerprint(own)}): plug in the right medium"
                )
        return found

    def key_path(self, name: str) -> Path:
        """Return where the key of the CA called `name` lies."""
        if generations.base(name) == ROOT and self.root_directory is not None and self.root_is_elsewhere:
            return self.root_directory / generations.phase(name) / KEY
        return self.directory / name / KEY

    @property
    def root_is_elsewhere(self) -> bool:
        """Whether the root's key lies outside `directory`, so that its absence is nothing to complain about."""
        return self.root_directory is not None and self.root_directory != self.directory / ROOT

    def need_root(self, what: str, name: str = ROOT) -> None:
        """Raise StateError, saying what to plug in, unless the root's key is there to do `what`."""
        path = self.key_path(name)
        if path.exists():
            return
        public = self.directory / name / CERTIFICATE
        which = f", SHA-256 {fingerprint(load_certificate(public))}" if public.exists() else ""
        raise StateError(
            f"the root's key is needed to {what}, and {path} is not there: plug in the medium that holds the root of"
            f" {self.site}{which}, or say with fleet_ca_root_dir where it is, and run this again"
        )


def device_ca(gateway: str) -> str:
    """Return the directory name of the device CA of `gateway`."""
    return f"device-{gateway}"


def issuing(gateways: Sequence[str]) -> dict[str, str]:
    """Return the names of the issuing CAs of a site with these gateways, each with its profile."""
    return PROFILE_OF | {device_ca(names.device_id(gateway)): "device-ca" for gateway in gateways}


def title(name: str) -> str:
    """Return what people call the CA called `name`; the site and this are its CN, of a later one with a number."""
    name = generations.base(name)
    if name == ROOT:
        return "root"
    if name == "server-next":
        return "next server CA"
    if name.startswith("device-"):
        return f"device CA of {name.removeprefix('device-')}"
    return f"{name} CA"


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate as openssl prints it: pairs of hexadecimal digits with colons."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def secret_of(name: str) -> str:
    """Return which passphrase opens the key of the CA called `name`."""
    return passphrases.ROOT if generations.base(name) == ROOT else passphrases.ISSUING


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


def new_common_name(hierarchy: Hierarchy, name: str) -> str:
    """Return the CN of a new CA called `name`, which no CA of the site has had."""
    return generations.new_common_name(hierarchy.directory, f"{hierarchy.site} {title(name)}")


def sealed_key(hierarchy: Hierarchy, name: str, curve: str) -> tuple[ec.EllipticCurvePrivateKey, list[files.File]]:
    """Return the key of the CA called `name`, and the file to write for it: none when it existed.

    Raises SecretError when the passphrase is not the one that opens this site's other keys.
    """
    path, secret = hierarchy.key_path(name), hierarchy.source.read(secret_of(name))
    if path.exists():  # a run that was cut before the certificate: the key counts
        return keys.load_key(files.read_private(path, "the CA's key", refuse=True), secret, str(path)), []
    # A key sealed with a mistyped passphrase would be found out when it is too late.
    if siblings := _siblings(hierarchy, name):
        keys.load_key(files.read_private(siblings[0], "the CA's key", refuse=True), secret, str(siblings[0]))
    elif not hierarchy.source.makes:
        raise SecretError(
            f"the first key of the {title(name)} wants a random passphrase, not one that somebody thought of: make the"
            " CAs with vault:DIRECTORY as source, or the root in a ceremony (docs/ceremony.md)"
        )
    key = keys.new_key(curve)
    return key, [files.File(path, keys.sealed_pem(key, secret))]


def _siblings(hierarchy: Hierarchy, name: str) -> list[Path]:
    """Return the keys that the passphrase of the CA called `name` opens."""
    if secret_of(name) == passphrases.ROOT:
        path = hierarchy.key_path(ROOT)
        return [path] if path.exists() else []
    return sorted(path for path in hierarchy.directory.glob(f"*/{KEY}") if path.parent.name != ROOT)
