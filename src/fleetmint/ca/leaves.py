"""Certificates that live in files of the site's state: issued when missing, and again when they no longer serve."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from fleetmint import choices, commands, files
from fleetmint.ca.crls import WITH_CRL
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import OPERATOR, PHASES, ROOT, SERVER, CaId, Phase
from fleetmint.errors import StateError
from fleetmint.plan import Plan, Warned
from fleetmint.x509 import compat, keys, revocation
from fleetmint.x509.authority import check_kind, load_certificate, load_certificates, pem, public_key_bytes
from fleetmint.x509.hosts import host
from fleetmint.x509.profiles import SKEW, Profile, profile
from fleetmint.x509.request import read_host_request

OPERATOR_PROFILE = "operator"
# Certificates of operators that are not in use any more, renewed or revoked, as NAME.SERIAL.crt.
SUPERSEDED = "superseded"
# Where they were put aside one version before.
_EARLIER = "earlier"
# What the operator CA issues: whoever comes in at the operators' listeners.
OPERATOR_PROFILES = choices.OPERATOR_PROFILES
CA_OF = {"server": SERVER, "server-rsa": SERVER, "service": SERVER, **dict.fromkeys(OPERATOR_PROFILES, OPERATOR)}


def renewal_reasons(
    found: x509.Certificate,
    *,
    wanted: Profile,
    public_key: keys.PublicKey,
    common_name: str,
    sans: Sequence[str],
    issuer: x509.Certificate,
    now: datetime,
) -> tuple[str, ...]:
    """Why `found` no longer serves as what is described; empty when it does."""
    reasons = []
    if public_key_bytes(found) != keys.spki(public_key):
        reasons.append("the key is another one")
    if found.issuer != issuer.subject or _key_id(found) != _key_id_of_issuer(issuer):
        reasons.append("issued by another CA")
    if common_name not in [attribute.value for attribute in found.subject]:
        reasons.append(f"it does not name {common_name}")
    if sorted(alternative_names(found)) != sorted(set(sans)):
        reasons.append("the alternative names differ")
    if compat.not_before(found) > now + SKEW:
        reasons.append(f"it begins on {compat.not_before(found):%Y-%m-%d %H:%M}Z, which is still to come")
    ends, could_end = compat.not_after(found), _end(wanted, issuer, now)
    # what ends with its CA would be issued again and again for nothing
    if ends <= now or (ends - now < wanted.renew_before and could_end > ends):
        reasons.append(f"it ends on {ends:%Y-%m-%d} and can last until {could_end:%Y-%m-%d}")
    if ends > could_end + SKEW:
        reasons.append(f"it ends on {ends:%Y-%m-%d} and has to by {could_end:%Y-%m-%d}")
    return tuple(reasons)


def plan_host_certificate(
    hierarchy: Hierarchy,
    request: Path,
    certificate: Path,
    common_name: str,
    sans: Sequence[str],
    now: datetime,
    profile_name: str = "server",
    lifetime: timedelta | None = None,
) -> Plan[None]:
    """Plan the server certificate for the key of the PKCS #10 file `request`; chain file out: leaf, server CA.

    `lifetime` is shorter than the profile's, for who renews more often. Raises NameRefusedError for a name among `sans`
    that no client can call.
    """
    for name in sans:
        host(name)
    key = read_host_request(files.read(request, "certificate request"))
    return plan_leaf(hierarchy, profile_name, key, certificate, common_name, sans, now, lifetime=lifetime)


def plan_client(
    hierarchy: Hierarchy, profile_name: str, name: str, directory: Path, now: datetime
) -> Plan[Warned | None]:
    """Plan key and certificate of an operator or a station: `<name>.key` and `<name>.crt` in `directory`.

    The key is made once, of the kind that the profile certifies; a certificate near its end is issued again for the
    same key. A revoked one stays revoked: the plan is empty, and its result warns of what gives the name a new
    key. Raises FleetmintError when there is a key of another kind.
    """
    key_path, certificate = directory / f"{name}.key", directory / f"{name}.crt"
    if certificate.exists() and revoked(hierarchy, OPERATOR, _first_certificate(certificate).serial_number):
        sentence = (
            f"{name} is revoked and stays so: {commands.fleetmint('operator', 'replace', name)} makes a new key and"
            " certificate, or take the name out of the inventory"
        )
        return Plan(expected=Warned((sentence,)))
    if key_path.exists():
        key = keys.load_leaf_key(files.read_private(key_path, "key"), None, str(key_path))
        # Whoever has the key could go on with the old certificate, so a revocation has to find that too.
        return plan_leaf(
            hierarchy, profile_name, key.public_key(), certificate, name, (), now, lambda: put_aside(certificate, name)
        )
    key = keys.new_leaf_key(profile(profile_name).key_kind)

    def make() -> None:
        # Certificate first: a certificate without a key is made anew, a key without one would look finished.
        plan_leaf(hierarchy, profile_name, key.public_key(), certificate, name, (), now).apply()
        files.write_atomically(key_path, keys.plain_pem(key))

    return Plan((f"make key and certificate of {name}",), make, after=f"{name}\n")


def put_aside(path: Path, name: str) -> None:
    """Keep a copy of the operator's certificate at `path` among those it supersedes."""
    certificate = _first_certificate(path)
    aside = path.parent / SUPERSEDED / f"{name}.{certificate.serial_number:x}.crt"
    files.make_private_dir(aside.parent)
    files.write_atomically(aside, pem(certificate), files.PUBLIC_FILE)


def superseded(directory: Path) -> list[Path]:
    """Return the certificates of operators in `directory` that were put aside, so that a revocation finds those too."""
    return [path for place in (_EARLIER, SUPERSEDED) for path in sorted((directory / place).glob("*.crt"))]


def revoked(hierarchy: Hierarchy, ca: CaId, serial: int) -> revocation.Revoked | None:
    """Return what the CRL of a CA, or of another one of its name, says about a serial number; None when nothing.

    Raises StateError when a CRL is missing: nobody would be revoked any more. A server CA has none.
    """
    ca = ca.at(Phase.ACTIVE)
    if ca not in (ROOT, *WITH_CRL):
        return None
    store = hierarchy.store
    found = [
        entry for each in store.generations(ca, PHASES) or [ca] for entry in revocation.entries(store.record(each))
    ]
    return next((entry for entry in found if entry.serial == serial), None)


def alternative_names(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names and addresses that a certificate carries."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names]


def plan_leaf(
    hierarchy: Hierarchy,
    profile_name: str,
    public_key: keys.PublicKey,
    path: Path,
    common_name: str,
    sans: Sequence[str],
    now: datetime,
    before_renewal: Callable[[], None] = lambda: None,
    lifetime: timedelta | None = None,
) -> Plan[None]:
    """Plan the certificate at `path`: nothing when it is there and serves.

    `before_renewal` is called before one that is there gives way. Raises FleetmintError for a key of another kind.
    """
    wanted = profile(profile_name) if lifetime is None else profile(profile_name).shortened(lifetime)
    check_kind(wanted, public_key)
    ca = CA_OF[profile_name]
    issuer = hierarchy.store.certificate(ca)
    reasons: tuple[str, ...] = (f"there is no {path.name} yet",)
    before = ""
    kept: x509.Certificate | None = None
    if path.exists():
        found = _first_certificate(path)
        before = _summary(common_name, sans, compat.not_after(found))
        reasons = renewal_reasons(
            found,
            wanted=wanted,
            public_key=public_key,
            common_name=common_name,
            sans=sans,
            issuer=issuer,
            now=now,
        )
        if not reasons and issuer not in load_certificates(path):
            # a new root has certified the CA: the same leaf, under the certificate that is shown from now on
            kept, reasons = found, ("the CA above it has a new certificate",)
    if not reasons:
        return Plan(before=before, after=before)

    def issue() -> None:
        leaf = kept
        if leaf is None:
            authority = hierarchy.authority(ca)  # a passphrase that does not open it changes nothing
            if path.exists():
                before_renewal()
            leaf = authority.issue(
                profile_name, public_key, common_name, now=now, sans=tuple(set(sans)), lifetime=lifetime
            )
        files.make_private_dir(path.parent)
        files.write_atomically(path, pem(leaf, issuer), files.PUBLIC_FILE)

    after = before if kept is not None else _summary(common_name, sans, _end(wanted, issuer, now))
    return Plan(tuple(f"{path.name}: {reason}" for reason in reasons), issue, before, after)


def _end(wanted: Profile, issuer: x509.Certificate, now: datetime) -> datetime:
    return min(now.replace(microsecond=0) + wanted.lifetime, compat.not_after(issuer))


def _first_certificate(path: Path) -> x509.Certificate:
    try:
        return load_certificate(path)
    except StateError as error:
        raise StateError(f"{path} is damaged: remove it, and it is issued again") from error


def _summary(common_name: str, sans: Sequence[str], end: datetime) -> str:
    return f"name {common_name}\nalternative names {' '.join(sorted(sans)) or '-'}\nends {end:%Y-%m-%d}\n"


def _key_id(certificate: x509.Certificate) -> bytes | None:
    return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier


def _key_id_of_issuer(issuer: x509.Certificate) -> bytes:
    return issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
