"""The device CA's key on its gateway: brought by the play, checked here, for one user; `ca_key` says how it is kept.

ca.crt and its key                the CA that issues
crl-only/SPKI/ca.crt and its key  while a rollover is under way, every device CA of this gateway: what it issued has to
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
from fleetmint.gateway.ca_key import keeping
from fleetmint.gateway.config import Config
from fleetmint.plan import Plan
from fleetmint.x509 import keys, names
from fleetmint.x509.authority import CERTIFICATE, Authority, load_certificate, organization, pem, public_key_bytes

_CRL_ONLY = "crl-only"
# Where they lay one version before.
_BEFORE = "beside"
_MAX_BYTES = 65536


@dataclass(frozen=True)
class Installed:
    """Whether a whole CA is installed, with the SHA-256 of its public key (SPKI) and of its certificate, in hex.

    `key` says how its key is kept, and `as_wanted` whether that is how gateway.toml wants it.
    """

    installed: bool
    spki_sha256: str | None
    certificate_sha256: str | None = None
    key: str | None = None
    as_wanted: bool = True


def status(config: Config, directory: Path | None = None) -> Installed:
    """Return what is installed in `directory`, where nothing is said the CA that issues.

    Half a CA, as an interrupted installation leaves it, is none, and so is one with a key that cannot be used.
    """
    place = directory or config.device_ca
    if not (place / CERTIFICATE).exists() or not keeping.held(place):
        return Installed(False, None)
    try:
        found = keeping.load(config, place)
    except StateError:
        return Installed(False, None)
    kept = keeping.describe(config, place)
    return Installed(
        True,
        keys.spki_sha256(found.key.public_key()).hex(),
        found.certificate.fingerprint(hashes.SHA256()).hex(),
        kept.how,
        kept.as_wanted,
    )


def crl_only(config: Config) -> dict[str, Installed]:
    """Return the CAs that are installed for their CRL alone, by SPKI."""
    found = {path.name: status(config, path) for path in sorted(_copies(config), key=lambda path: path.name)}
    return {name: each for name, each in found.items() if each.installed}


def unusable_copies(config: Config) -> dict[str, x509.Certificate]:
    """Return the certificates of those that are kept for their CRL and whose key cannot be used, by SPKI."""
    found = {path.name: path for path in _copies(config) if (path / CERTIFICATE).exists() and keeping.held(path)}
    return {
        name: load_certificate(found[name] / CERTIFICATE) for name in sorted(found.keys() - crl_only(config).keys())
    }


def directories(config: Config) -> list[Path]:
    """Return where device CAs are, or would be, that of the one that issues first."""
    return [config.device_ca, *_copies(config)]


def _copies(config: Config) -> list[Path]:
    return [path for place in (_BEFORE, _CRL_ONLY) for path in (config.device_ca / place).glob("*") if path.is_dir()]


def _place(directory: Path, spki: str) -> Path:
    before = directory / _BEFORE / spki
    return before if before.is_dir() else directory / _CRL_ONLY / spki


def authorities(config: Config) -> list[Authority]:
    """Return every device CA that is installed, the one that issues first; raise StateError when there is none."""
    issuing = keeping.load(config, config.device_ca)
    mine = keys.spki_sha256(issuing.key.public_key()).hex()
    found = [issuing]
    for place in sorted(_copies(config), key=lambda path: path.name):
        # half of one is what an interruption leaves; a whole one that cannot sign would end its list, were it left out
        if place.name != mine and (place / CERTIFICATE).exists() and keeping.held(place):
            found.append(keeping.load(config, place))
    return found


def plan_install(config: Config, data: bytes, *, replace: bool = False) -> Plan[str]:
    """Plan to install the CA in `data`, PEM: a certificate and its unencrypted key.

    The result is the SHA-256 of its key, in hex.

    Raises StateError when `data` is anything but a client CA of the site for devices with its own key, or another CA is
    installed that is not kept for its CRL and `replace` is not set: its certificates could no longer be revoked here.
    """
    return _plan(config, config.device_ca, _read(data, config.site), replace=replace)


def plan_install_crl_only(config: Config, data: bytes) -> Plan[str]:
    """Plan to keep the CA in `data` beside the one that issues: it signs its CRL and nothing else.

    Raises StateError as `plan_install` does.
    """
    wanted = _read(data, config.site)
    spki = keys.spki_sha256(wanted.key.public_key()).hex()
    plan = _plan(config, _place(config.device_ca, spki), wanted)
    reasons = tuple(f"keep the device CA {spki[:16]} for its CRL alone" for _ in plan.reasons)
    return Plan(reasons, plan.apply, expected=plan.expected)


def _plan(config: Config, directory: Path, wanted: Authority, *, replace: bool = False) -> Plan[str]:
    fingerprint = keys.spki_sha256(wanted.key.public_key()).hex()
    found = status(config, directory)
    certificate = pem(wanted.certificate)
    known = found.spki_sha256 == fingerprint and files.read(directory / CERTIFICATE, "certificate") == certificate
    if known and found.as_wanted:
        return Plan(expected=fingerprint)
    if found.installed and found.spki_sha256 not in (fingerprint, *crl_only(config)) and not replace:
        raise StateError(
            f"another device CA is installed in {directory}: what it issued could no longer be revoked here; give"
            " --replace if that is meant"
        )

    def install() -> str:
        files.make_private_dir(directory)
        # The key first: a certificate without its key is what an interruption may leave, and counts as nothing.
        keeping.put(config, directory, wanted.key, directories(config))
        if not known:
            files.write_atomically(directory / CERTIFICATE, certificate, files.PUBLIC_FILE)
        keeping.drop(config, directory, directories(config))
        return fingerprint

    reason = f"keep the key of the device CA {config.device_ca_key}" if known else "install the device CA"
    return Plan((f"{reason} in {directory}",), install, expected=fingerprint)


def plan_retire(config: Config, spki_sha256: str, valid: Sequence[datetime], *, force: bool = False) -> Plan[None]:
    """Plan to remove the CA `spki_sha256` that is kept for its CRL alone, and its key with it.

    `valid` is when each of its certificates ends that is valid now, the last first; unless forced, any is a StateError:
    without its CRL they are refused.
    """
    place = _place(config.device_ca, spki_sha256)
    if spki_sha256 not in (*crl_only(config), *unusable_copies(config)):
        return Plan()
    issuing = status(config).spki_sha256 == spki_sha256  # then this is a copy
    if valid and not issuing and not force:
        raise StateError(
            f"the old device CA has {len(valid)} valid certificate{'s' * (len(valid) > 1)}, the last until"
            f" {valid[0]:%Y-%m-%d}: these devices would be refused. Wait until then, or give ca_rollover_force=true if"
            " they may be lost"
        )

    def remove() -> None:
        # What a power cut left of a half-written key goes first, so that no key stays that no later run looks for.
        own = {place / CERTIFICATE, *keeping.files_of(place)}
        for path in set(place.iterdir()) - own:
            path.unlink()
        keeping.discard(config, place, directories(config))
        (place / CERTIFICATE).unlink()
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
