"""The device CA's key on its gateway: brought by the play, checked here, readable by one user."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import files
from fleetmint.errors import StateError
from fleetmint.pki import keys, names
from fleetmint.pki.authority import CERTIFICATE, KEY, Authority, load_authority, organization, pem, public_key_bytes
from fleetmint.plan import Plan

_KEY_MODE = 0o400
_MAX_BYTES = 65536


@dataclass(frozen=True)
class Installed:
    """Whether a whole CA is installed, and the SHA-256 of its public key (SPKI), lower-case hex."""

    installed: bool
    spki_sha256: str | None


def status(directory: Path) -> Installed:
    """Return what is installed in `directory`; half a CA, as an interrupted installation leaves it, is none."""
    if not (directory / KEY).exists() or not (directory / CERTIFICATE).exists():
        return Installed(False, None)
    try:
        found = load_authority(directory, None)
    except StateError:
        return Installed(False, None)
    return Installed(True, keys.spki_sha256(found.key.public_key()).hex())


def plan_install(directory: Path, data: bytes, *, site: str, replace: bool = False) -> Plan:
    """Plan to put the CA in `data` (PEM: a certificate and its unencrypted key) into `directory`.

    Raises StateError when `data` is anything but a client CA of `site` for devices with its own key, or another CA is
    installed and `replace` is not set: certificates of that one could no longer be revoked here.
    """
    wanted = _read(data, site)
    fingerprint = keys.spki_sha256(wanted.key.public_key()).hex()
    found = status(directory)
    certificate = pem(wanted.certificate)
    if found.spki_sha256 == fingerprint and files.read(directory / CERTIFICATE, "certificate") == certificate:
        return Plan(facts={"spki_sha256": fingerprint})
    if found.installed and found.spki_sha256 != fingerprint and not replace:
        raise StateError(
            f"another device CA is installed in {directory}: what it issued could no longer be revoked here; give"
            " --replace if that is meant"
        )

    def install() -> None:
        files.make_private_dir(directory)
        # The key first: a certificate without its key is what an interruption may leave, and counts as nothing.
        files.write_atomically(directory / KEY, keys.plain_pem(wanted.key), _KEY_MODE)
        files.write_atomically(directory / CERTIFICATE, certificate, files.PUBLIC_FILE)

    return Plan((f"install the device CA in {directory}",), install, facts={"spki_sha256": fingerprint})


def _read(data: bytes, site: str) -> Authority:
    if len(data) > _MAX_BYTES:
        raise StateError("this is no CA: it is too large; give one PEM certificate and its PEM key on stdin")
    try:
        certificate = x509.load_pem_x509_certificate(data)
        key = serialization.load_pem_private_key(_key_block(data), None)
    except (TypeError, ValueError) as error:
        # Not the parser's message: it may quote what it read.
        raise StateError("this is no CA: give one PEM certificate and its unencrypted PEM key on stdin") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or keys.spki(key.public_key()) != public_key_bytes(certificate):
        raise StateError("the key on stdin does not belong to the certificate: take both from one CA directory")
    if organization(certificate) != site:
        raise StateError(f"this CA belongs to the site {organization(certificate)!r}, and this gateway to {site!r}")
    if not _is_device_ca(certificate, site):
        raise StateError("this is no device CA: only a CA limited to devices may be installed on a gateway")
    return Authority(certificate, key)


def _key_block(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    starts = [at for at, line in enumerate(lines) if line.startswith(b"-----BEGIN ") and b"PRIVATE KEY-----" in line]
    if len(starts) != 1:
        raise ValueError("not exactly one private key")
    return b"".join(lines[starts[0] :])


def _is_device_ca(certificate: x509.Certificate, site: str) -> bool:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        limits = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    unit = list(names.subject(site, names.DEVICES_UNIT, "x"))[:2]
    permitted = [list(name.value) for name in limits.permitted_subtrees or [] if isinstance(name, x509.DirectoryName)]
    return basic.ca and certificate.issuer != certificate.subject and permitted == [unit]
