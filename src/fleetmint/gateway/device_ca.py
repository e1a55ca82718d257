"""The device CA's key on its gateway: brought by the play, checked here, readable by one user.

ca.key, ca.crt                the CA that issues
crl-only/SPKI/ca.key, ca.crt  while a rollover is under way, every device CA of this gateway: what it issued has to
                              be revocable, so its CRL goes on. SPKI is the SHA-256 of its public key, in hex.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import files
from fleetmint.errors import StateError
from fleetmint.plan import Plan
from fleetmint.x509 import keys, names
from fleetmint.x509.authority import CERTIFICATE, KEY, Authority, load_authority, organization, pem, public_key_bytes

_CRL_ONLY = "crl-only"
# Where they lay one version before.
_BEFORE = "beside"
_KEY_MODE = 0o400
_MAX_BYTES = 65536


@dataclass(frozen=True)
class Installed:
    """Whether a whole CA is installed, with the SHA-256 of its public key (SPKI) and of its certificate, in hex."""

    installed: bool
    spki_sha256: str | None
    certificate_sha256: str | None = None


def status(directory: Path) -> Installed:
    """Return what is installed in `directory`; half a CA, as an interrupted installation leaves it, is none."""
    if not (directory / KEY).exists() or not (directory / CERTIFICATE).exists():
        return Installed(False, None)
    try:
        found = load_authority(directory, None)
    except StateError:
        return Installed(False, None)
    return Installed(
        True, keys.spki_sha256(found.key.public_key()).hex(), found.certificate.fingerprint(hashes.SHA256()).hex()
    )


def crl_only(directory: Path) -> dict[str, Installed]:
    """Return the CAs that are installed under the one in `directory` for their CRL alone, by SPKI."""
    paths = [path for place in (_BEFORE, _CRL_ONLY) for path in (directory / place).glob("*") if path.is_dir()]
    found = {path.name: status(path) for path in sorted(paths, key=lambda path: path.name)}
    return {name: each for name, each in found.items() if each.installed}


def key_paths(directory: Path) -> list[Path]:
    """Return where the keys of all CAs in `directory` lie, or would lie, the one that issues first."""
    return [directory / KEY, *(path for place in (_CRL_ONLY, _BEFORE) for path in (directory / place).glob(f"*/{KEY}"))]


def _place(directory: Path, spki: str) -> Path:
    before = directory / _BEFORE / spki
    return before if before.is_dir() else directory / _CRL_ONLY / spki


def authorities(directory: Path) -> list[Authority]:
    """Return every device CA that is installed, the one that issues first; raise StateError when there is none."""
    issuing = load_authority(directory, None)
    mine = keys.spki_sha256(issuing.key.public_key()).hex()
    return [issuing, *(load_authority(_place(directory, name), None) for name in crl_only(directory) if name != mine)]


def plan_install(directory: Path, data: bytes, *, site: str, replace: bool = False) -> Plan[str]:
    """Plan to put the CA in `data` (PEM: a certificate and its unencrypted key) into `directory`.

    The result is the SHA-256 of its key, in hex.

    Raises StateError when `data` is anything but a client CA of `site` for devices with its own key, or another CA is
    installed that is not kept for its CRL and `replace` is not set: its certificates could no longer be revoked here.
    """
    wanted = _read(data, site)
    fingerprint = keys.spki_sha256(wanted.key.public_key()).hex()
    found = status(directory)
    certificate = pem(wanted.certificate)
    if found.spki_sha256 == fingerprint and files.read(directory / CERTIFICATE, "certificate") == certificate:
        return Plan(expected=fingerprint)
    if found.installed and found.spki_sha256 not in (fingerprint, *crl_only(directory)) and not replace:
        raise StateError(
            f"another device CA is installed in {directory}: what it issued could no longer be revoked here; give"
            " --replace if that is meant"
        )

    def install() -> str:
        files.make_private_dir(directory)
        # The key first: a certificate without its key is what an interruption may leave, and counts as nothing.
        files.write_atomically(directory / KEY, keys.plain_pem(wanted.key), _KEY_MODE)
        files.write_atomically(directory / CERTIFICATE, certificate, files.PUBLIC_FILE)
        return fingerprint

    return Plan((f"install the device CA in {directory}",), install, expected=fingerprint)


def plan_install_crl_only(directory: Path, data: bytes, *, site: str) -> Plan[str]:
    """Plan to keep the CA in `data` under the one in `directory`: it signs its CRL and nothing else.

    Raises StateError as `plan_install` does.
    """
    spki = keys.spki_sha256(_read(data, site).key.public_key()).hex()
    plan = plan_install(_place(directory, spki), data, site=site)
    reasons = tuple(f"keep the device CA {spki[:16]} for its CRL alone" for _ in plan.reasons)
    return Plan(reasons, plan.apply, expected=plan.expected)


def plan_retire(directory: Path, spki_sha256: str, valid: Sequence[datetime], *, force: bool = False) -> Plan[None]:
    """Plan to remove the CA `spki_sha256` that is kept for its CRL alone, and its key with it.

    `valid` is when each of its certificates ends that is valid now, the last first; unless forced, any is a StateError:
    without its CRL they are refused.
    """
    found = crl_only(directory).get(spki_sha256)
    if found is None:
        return Plan()
    place = _place(directory, spki_sha256)
    issuing = status(directory).spki_sha256 == spki_sha256  # then this is a copy
    if valid and not issuing and not force:
        raise StateError(
            f"the old device CA has {len(valid)} valid certificate{'s' * (len(valid) > 1)}, the last until"
            f" {valid[0]:%Y-%m-%d}: these devices would be refused. Wait until then, or give ca_rollover_force=true if"
            " they may be lost"
        )

    def remove() -> None:
        # What a power cut left of a half-written key goes first, so that no key stays that no later run looks for.
        for path in sorted(place.iterdir(), key=lambda path: (path.name == CERTIFICATE, path.name == KEY)):
            path.unlink()
        place.rmdir()

    return Plan((f"remove the device CA {spki_sha256[:16]} that was kept for its CRL alone",), remove)


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
