"""The files of a site's CAs: the only place that knows where they lie.

    root/  server/  server-next/  operator/  factory/  device-<gateway>/     each with ca.key, ca.crt and crl.pem
    incoming/NAME/   outgoing/NAME/   leaving/root/     those in another phase than in use (identifier.py)
    retired/NAME.FINGERPRINT/                           kept for the record
    release/  bundle.bin                                not CAs: the room trust

The root's key may lie elsewhere, on a medium that is away on ordinary days, with a copy of its certificate and CRL;
those that gateways need every day are always here. While a root is replaced, the CAs under it have a certificate of
each root for the same key and name: `ca.crt` is the one in use, and beside it lies `ca.incoming.crt`, of the root that
comes, or `ca.outgoing.crt`, of the one that goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fleetmint import commands, files
from fleetmint.ca.identifier import PHASES, ROOT, TRUSTED, CaId, Kind, Phase
from fleetmint.errors import NameRefusedError, StateError
from fleetmint.x509 import names, revocation
from fleetmint.x509.authority import CERTIFICATE, KEY, load_certificate, pem
from fleetmint.x509.chain import issued_by

RETIRED = "retired"
# The certificate of a CA, by the phase of the root that it is of.
_CERTIFICATES = {Phase.ACTIVE: CERTIFICATE, Phase.PENDING: "ca.incoming.crt", Phase.PREVIOUS: "ca.outgoing.crt"}


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate as openssl prints it: pairs of hexadecimal digits with colons."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def short(certificate: x509.Certificate) -> str:
    """Return by what a retired CA is told from others of its name: 16 hexadecimal digits of its SHA-256."""
    return certificate.fingerprint(hashes.SHA256()).hex()[:16]


def read_record(path: Path, issuer: x509.Certificate) -> x509.CertificateRevocationList:
    """Return the list of `issuer` on the controller; raise StateError when it is missing, damaged or another CA's.

    A list that is missing is not begun again: it would forget whom it revoked, with numbers that were used before.
    """
    if not path.exists():
        name = path.parent.name
        raise StateError(
            f"{path} is missing, and a new list would forget whom the CA has revoked: restore it from the backup, or"
            f" fetch the one that a gateway holds (`curl -fO http://GATEWAY/{name}.crl`) and take it over with"
            f" {commands.fleetmint('ca', 'restore-crl', f'{name}.crl')}"
        )
    found = revocation.load_crl(files.read(path, "CRL"), str(path))
    if not revocation.signed_by(found, issuer):
        raise StateError(f"{path} is not signed by the CA beside it: restore both from one backup")
    return found


@dataclass(frozen=True)
class CaStore:
    """The CAs under `directory`. `root_directory` is where the root's key lies, when that is somewhere else."""

    directory: Path
    root_directory: Path | None = None

    @property
    def root_is_elsewhere(self) -> bool:
        """Whether the root's key lies outside `directory`, so that its absence is nothing to complain about."""
        return self.root_directory is not None and self.root_directory != self.place(ROOT)

    def place(self, ca: CaId) -> Path:
        """Return the directory of a CA."""
        return self.directory / str(ca)

    def certificate_path(self, ca: CaId, root: Phase = Phase.ACTIVE) -> Path:
        """Return where the certificate of a CA lies; that of another root than the one in use with its phase."""
        return self.place(ca) / _CERTIFICATES[root]

    def crl_path(self, ca: CaId) -> Path:
        """Return where the CRL of a CA lies."""
        return self.place(ca) / revocation.CRL

    def key_place(self, ca: CaId) -> Path:
        """Return the directory with the key of a CA: for a root perhaps on its medium."""
        if ca.is_root and self.root_directory is not None and self.root_is_elsewhere:
            return self.root_directory / ca.phase
        return self.place(ca)

    def key_path(self, ca: CaId) -> Path:
        """Return where the key of a CA lies."""
        return self.key_place(ca) / KEY

    def certificate_beside_key(self, ca: CaId) -> Path:
        """Return where the certificate lies that is kept with the key: a copy, where the key is elsewhere."""
        return self.key_place(ca) / CERTIFICATE

    def crl_beside_key(self, ca: CaId) -> Path:
        """Return where the CRL lies that is kept with the key: a copy, where the key is elsewhere."""
        return self.key_place(ca) / revocation.CRL

    def exists(self, ca: CaId) -> bool:
        """Whether there is a CA of this identifier: its certificate is what counts."""
        return self.certificate_path(ca).exists()

    def has_key(self, ca: CaId) -> bool:
        """Whether the key of a CA is at hand."""
        return self.key_path(ca).exists()

    def certificate(self, ca: CaId, root: Phase = Phase.ACTIVE) -> x509.Certificate:
        """Read the certificate of a CA; raise StateError naming the file when there is none, or it is damaged."""
        return load_certificate(self.certificate_path(ca, root))

    def certificates(self, ca: CaId) -> list[x509.Certificate]:
        """Return every certificate of one CA, the one in use first: while a root is replaced, one of each root."""
        paths = [self.certificate_path(ca, root) for root in _CERTIFICATES]
        return [load_certificate(path) for path in paths if path.exists()]

    def crl(self, ca: CaId) -> x509.CertificateRevocationList | None:
        """Read the CRL of a CA, None when there is none; raise StateError naming the file when it is damaged."""
        path = self.crl_path(ca)
        return revocation.load_crl(files.read(path, "CRL"), str(path)) if path.exists() else None

    def record(self, ca: CaId) -> x509.CertificateRevocationList:
        """Read the CRL as the record of whom a CA revoked; raise StateError when it is missing or not that CA's."""
        return read_record(self.crl_path(ca), self.certificate(ca))

    def identifiers(self) -> list[CaId]:
        """Return all CAs that are not retired: those in use first, the root before the others."""
        found = []
        for phase in PHASES:
            for path in sorted((self.directory / phase).glob(f"*/{CERTIFICATE}")):
                try:
                    found.append(CaId.parse(path.parent.name).at(phase))
                except NameRefusedError:  # what somebody put there
                    continue
        return sorted(found, key=lambda ca: (ca.phase is not Phase.ACTIVE, not ca.is_root))

    def issuing(self) -> list[CaId]:
        """Return the CAs that a root certifies."""
        return [ca for ca in self.identifiers() if not ca.is_root]

    def device_cas(self) -> list[CaId]:
        """Return the device CAs, each gateway's once, without a phase."""
        gateways = sorted({ca.gateway for ca in self.identifiers() if ca.is_device})
        return [CaId(Kind.DEVICE, gateway) for gateway in gateways]

    def generations(self, ca: CaId, phases: Sequence[Phase] = TRUSTED) -> list[CaId]:
        """Return the CAs of the name of `ca` that are there in these phases, in their order."""
        return [each for each in map(ca.at, phases) if self.exists(each)]

    def roots(self) -> list[x509.Certificate]:
        """Return the roots that are trusted, the one in use first."""
        return [self.certificate(ca) for ca in self.generations(ROOT)]

    def trusted(self, ca: CaId) -> list[x509.Certificate]:
        """Return every certificate under a trusted root of the CAs of the name of `ca`, the one in use first.

        While a root is replaced these are two for each key. One under a root that is trusted no more is left out: a
        server that takes it for the issuer of a client finds no way up from there.
        """
        anchors = self.roots()
        if ca.is_root:
            return anchors
        found: list[x509.Certificate] = []
        for each in self.generations(ca):
            for one in self.certificates(each):
                if one not in found and any(issued_by(one, root) for root in anchors):
                    found.append(one)
        return found

    def issuer_of(self, certificate: x509.Certificate) -> CaId | None:
        """Return the CA that issued `certificate`, None when none of these did."""
        return next((ca for ca in self.identifiers() if issued_by(certificate, self.certificate(ca))), None)

    def has_certificate(self, certificate: x509.Certificate) -> bool:
        """Whether it is the certificate of a CA here, one that is retired included."""
        return any(load_certificate(path) == certificate for path in self.directory.rglob(CERTIFICATE))

    def keys(self) -> list[Path]:
        """Return the keys of all CAs that are not retired."""
        found = self.directory.rglob(KEY)
        return sorted(path for path in found if RETIRED not in path.relative_to(self.directory).parts)

    def issuing_keys(self) -> list[Path]:
        """Return the keys of the issuing CAs in use, with or without a certificate beside them."""
        return sorted(path for path in self.directory.glob(f"*/{KEY}") if path.parent != self.place(ROOT))

    def new_common_name(self, site: str, ca: CaId) -> str:
        """Return the CN of a new CA, with G2, G3, … behind it when a CA of that name was made before.

        Two CAs of one name are told apart by their key identifiers only, which not every TLS library looks at.
        """
        certificates = [load_certificate(path) for path in self.directory.rglob(CERTIFICATE)]
        used = {names.common_name(certificate.subject) for certificate in certificates}
        wanted = common_name(site, ca)
        name, number = wanted, 1
        while name in used:
            number += 1
            name = f"{wanted} G{number}"
        return name

    def public(self, ca: CaId, certificate: x509.Certificate) -> files.File:
        """Return the file of a certificate, to be written."""
        return files.File(self.certificate_path(ca), pem(certificate), files.PUBLIC_FILE)

    def public_copies(self, ca: CaId, certificate: x509.Certificate) -> list[files.File]:
        """Return the file of a certificate and, where the key is elsewhere, its copy beside it, to be written first."""
        paths = dict.fromkeys((self.certificate_beside_key(ca), self.certificate_path(ca)))
        return [files.File(path, pem(certificate), files.PUBLIC_FILE) for path in paths]

    def advance(self, ca: CaId, new: CaId) -> None:
        """Put the CA in use aside and `new` in its place; cut between the two, a second call does the rest."""
        if self.place(ca).exists():
            move(self.place(ca), self.place(ca.at(Phase.PREVIOUS)))
        move(self.place(new), self.place(ca))

    def retire(self, ca: CaId) -> None:
        """Keep a CA for the record only, key and all."""
        move(self.place(ca), self.directory / RETIRED / f"{ca.name}.{short(self.certificate(ca))}")

    def has_retired(self, ca: CaId) -> bool:
        """Whether a CA of the name of `ca` was retired before."""
        return any((self.directory / RETIRED).glob(f"{ca.name}.*"))


def common_name(site: str, ca: CaId) -> str:
    """Return the CN of the first CA of this identifier."""
    return f"{site} {ca.title}"


def move(source: Path, target: Path) -> None:
    """Move a file or directory, in one step, into a directory that only its owner can enter."""
    files.make_private_dir(target.parent)
    try:
        source.rename(target)
    except OSError as error:
        raise StateError(f"cannot move {source} to {target}: {error.strerror}; run this again") from error
