"""A certificate authority: a certificate, its key, and what it may issue."""

import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleetmint import files
from fleetmint.errors import ClockError, FleetmintError, StateError
from fleetmint.x509 import compat, keys, names
from fleetmint.x509.parsing import UnreadableError, parsing, touch
from fleetmint.x509.profiles import BACKDATE, Profile, profile

CERTIFICATE = "ca.crt"
KEY = "ca.key"


@dataclass(frozen=True)
class Authority:
    """A CA that can sign: its certificate and the key that belongs to it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def site(self) -> str:
        """The fleet this CA belongs to: the O of its subject, and of everything it issues."""
        return organization(self.certificate)

    def issue(
        self,
        profile_name: str,
        public_key: keys.PublicKey,
        common_name: str,
        *,
        now: datetime,
        sans: Sequence[str] = (),
        serial: int | None = None,
        lifetime: timedelta | None = None,
    ) -> x509.Certificate:
        """Sign a certificate of the named profile for `public_key`.

        `sans` are DNS names and IP addresses, allowed for servers only. The certificate ends with its profile's
        lifetime, with `lifetime` or with this CA, whichever is earliest. Raises FleetmintError when the CA has ended or
        the key is of another kind than the profile certifies, ClockError when the CA has not begun, NameRefusedError
        for a name outside its grammar.
        """
        wanted = profile(profile_name)
        if lifetime is not None:
            wanted = wanted.shortened(lifetime)
        checked = _checked_name(wanted, common_name)
        check_kind(wanted, public_key)
        if now < compat.not_before(self.certificate):
            begin = compat.not_before(self.certificate)
            raise ClockError(
                f"the clock says {now:%Y-%m-%d %H:%M}Z, but {_label(self.certificate)} begins on {begin:%Y-%m-%d}: set"
                " the clock of this machine; nothing was signed"
            )
        if now >= compat.not_after(self.certificate):
            raise FleetmintError(f"{_label(self.certificate)} ended on {compat.not_after(self.certificate):%Y-%m-%d}")
        subject = names.subject(self.site, wanted.unit, checked)
        builder = _builder(wanted, subject, self.certificate.subject, public_key, now, serial, self.certificate)
        builder = builder.add_extension(_authority_key_identifier(self.certificate), critical=False)
        if sans:
            if not wanted.alternative_names:
                raise FleetmintError(f"a certificate of profile {wanted.name} carries no alternative names")
            builder = builder.add_extension(x509.SubjectAlternativeName([_san(san) for san in sans]), critical=False)
        return builder.sign(self.key, digest_for(self.key))


def self_signed(site: str, common_name: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> Authority:
    """Make the root of `site`."""
    wanted = profile("root")
    subject = names.subject(names.site_name(site), wanted.unit, common_name)
    builder = _builder(wanted, subject, subject, key.public_key(), now, None, None)
    # RFC 5280 (4.2.1.1) lets a root leave it out; with it, one rule holds for every certificate.
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
    )
    return Authority(builder.sign(key, digest_for(key)), key)


def load_authority(directory: Path, passphrase: bytes | None) -> Authority:
    """Read the CA in `directory`; raise StateError when files are missing, damaged or do not belong together."""
    certificate = load_certificate(directory / CERTIFICATE)
    path = directory / KEY
    key = keys.load_key(files.read_private(path, "the CA's key", refuse=True), passphrase, str(path))
    if keys.spki(key.public_key()) != public_key_bytes(certificate):
        raise StateError(f"{path} does not belong to {directory / CERTIFICATE}: restore both from one backup")
    return Authority(certificate, key)


def load_certificate(path: Path) -> x509.Certificate:
    """Read a PEM certificate; raise StateError naming the file when that is not one."""
    return _certificate(files.read(path, "certificate"), path)


def load_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Read all PEM certificates of a file, at least one; raise StateError naming it when one of them is damaged."""
    data = files.read(path, "certificate")
    starts = [match.start() for match in re.finditer(rb"-----BEGIN", data)] or [0]
    return tuple(_certificate(data[begin:end], path) for begin, end in zip(starts, [*starts[1:], None], strict=True))


def _certificate(data: bytes, path: Path) -> x509.Certificate:
    try:
        with parsing():
            return touch(x509.load_pem_x509_certificate(data))
    except UnreadableError as error:
        raise StateError(f"{path} is no certificate, or damaged: restore it from the backup of the CA") from error


def organization(certificate: x509.Certificate) -> str:
    """Return the O of the subject, which names the site; empty when there is none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else ""


def public_key_bytes(certificate: x509.Certificate) -> bytes:
    """Return the SubjectPublicKeyInfo of a certificate, DER."""
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def pem(*certificates: x509.Certificate) -> bytes:
    """Return certificates as one PEM file."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def new_serial() -> int:
    """Return a positive serial of 159 random bits: 20 bytes, as much as RFC 5280 (4.1.2.2) allows."""
    return secrets.randbits(159) | 1 << 158


def _builder(
    wanted: Profile,
    subject: x509.Name,
    issuer: x509.Name,
    public_key: keys.PublicKey,
    now: datetime,
    serial: int | None,
    issuer_certificate: x509.Certificate | None,
) -> x509.CertificateBuilder:
    now = now.replace(microsecond=0)
    end = now + wanted.lifetime
    if issuer_certificate is not None:
        end = min(end, compat.not_after(issuer_certificate))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(new_serial() if serial is None else serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(wanted.is_ca, wanted.path_length), critical=True)
        .add_extension(_key_usage(wanted), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if wanted.usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([wanted.usage]), critical=False)
    if wanted.clients is not None:
        site = str(issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value)
        builder = builder.add_extension(_only_clients(site, wanted.clients), critical=True)
    return builder


@lru_cache
def _key_usage(wanted: Profile) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not wanted.is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=wanted.is_ca,
        crl_sign=wanted.is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _only_clients(site: str, unit: str) -> x509.NameConstraints:
    """Limit a client CA to subjects O=site, OU=unit and to no alternative name at all (RFC 5280, 4.2.1.10)."""
    base = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, site),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        ]
    )
    return x509.NameConstraints(
        # OpenSSL has no "every e-mail address" or "every URI" to exclude, but a permitted domain that cannot exist
        # excludes the rest.
        permitted_subtrees=[
            x509.DirectoryName(base),
            x509.RFC822Name("nobody.invalid"),
            x509.UniformResourceIdentifier("nobody.invalid"),
        ],
        excluded_subtrees=[
            x509.DNSName(""),
            x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
            x509.IPAddress(ipaddress.ip_network("::/0")),
        ],
    )


def _checked_name(wanted: Profile, text: str) -> str:
    if wanted.unit == names.DEVICES_UNIT:
        return names.device_id(text)
    if wanted.unit == names.OPERATORS_UNIT:
        return names.operator_name(text)
    return text


def _san(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@lru_cache
def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def check_kind(wanted: Profile, public_key: keys.PublicKey) -> None:
    """Raise FleetmintError when a certificate of the profile `wanted` cannot be for this kind of key."""
    found = keys.kind_of(public_key)
    if found != wanted.key_kind:
        raise FleetmintError(
            f"a certificate of profile {wanted.name} is for a key of the kind {wanted.key_kind}, and this one is"
            f" {found}: choose another profile, or move the key away to have a new one made"
        )


def digest_for(key: keys.PrivateKey) -> hashes.SHA384 | hashes.SHA256:
    """Return the hash that matches the strength of the signing key."""
    strong = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == ec.SECP384R1.name
    return hashes.SHA384() if strong else hashes.SHA256()


def _label(certificate: x509.Certificate) -> str:
    return str(names.common_name(certificate.subject) or certificate.subject.rfc4514_string())
