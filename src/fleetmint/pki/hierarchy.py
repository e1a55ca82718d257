"""The CAs of one site as directories: a root and what it signs, made once and never made again.

    root/  server/  server-next/  operator/  factory/  device-<gateway>/     each with ca.key, ca.crt and crl.pem
    release/  bundle.bin                                                     see release.py and bundle.py
    incoming/  outgoing/  retired/                                           see generations.py and rollover.py

`server-next` is sealed: devices trust it from the factory on, and nobody uses it until the server CA is replaced.
The root's key may lie elsewhere, on a medium that is away on ordinary days; its certificate and its CRL, which gateways
need every day, are always here. Where the root was made in a ceremony, see offline.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import files
from fleetmint.errors import ClockError, SecretError, StateError
from fleetmint.pki import bundle, chain, compat, generations, keys, names, passphrases, release, revocation
from fleetmint.pki.authority import (
    CERTIFICATE,
    KEY,
    Authority,
    load_authority,
    load_certificate,
    organization,
    pem,
    self_signed,
)
from fleetmint.pki.generations import OUTGOING
from fleetmint.pki.profiles import PROFILES
from fleetmint.plan import Plan

ROOT = generations.ROOT
PROFILE_OF = {"server": "server-ca", "server-next": "server-ca", "operator": "operator-ca", "factory": "factory-ca"}
# Who signs a CRL on the controller; a device CA's is signed on its gateway, and nobody looks at a server CA's.
WITH_CRL = ("operator", "factory")


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


def plan_hierarchy(hierarchy: Hierarchy, gateways: Sequence[str], now: datetime) -> Plan:
    """Plan what is missing of a site's CAs, their passphrases and CRLs.

    A key that exists is never made again, whatever else is missing. Keys are opened only to sign, so a run that finds
    everything in place needs neither a passphrase nor the root's medium. Applied, it writes all that is new or nothing.
    Raises StateError when what is there contradicts itself, ClockError when the clock cannot be right.
    """
    site = names.site_name(hierarchy.site)
    wanted = {ROOT: ROOT, **issuing(gateways)}
    missing = [name for name in wanted if not _complete(hierarchy, name)]
    for name in missing:
        refuse_half_moved(hierarchy.directory, name)
    if ROOT not in missing:
        root = load_certificate(hierarchy.directory / ROOT / CERTIFICATE)
        check_clock(root, now)
        if missing:
            hierarchy.need_root(f"make the {title(missing[0])}")
    elif hierarchy.root_is_elsewhere and not hierarchy.key_path(ROOT).parent.is_dir():
        # made by hand, it cannot come to lie on the disk under a medium that is not mounted
        raise StateError(
            f"{hierarchy.key_path(ROOT).parent} is not there: plug in the medium that is to hold the root of {site} and"
            " make this directory on it (mkdir -m 700), or correct fleet_ca_root_dir"
        )
    new_secrets = [secret for secret in (passphrases.ROOT, passphrases.ISSUING) if _is_new(hierarchy, secret, wanted)]
    reasons = [f"make a passphrase for the {secret} key{'s' * (secret != ROOT)}" for secret in new_secrets]
    reasons += [f"make the {title(name)}" for name in missing]
    signed, warnings = [], []
    outgoing = generations.generations(hierarchy.directory, ROOT, [OUTGOING])
    for name in (ROOT, *outgoing, *WITH_CRL):
        if name in missing:
            reasons.append(f"sign the first CRL of the {title(name)}")
        elif why := plan_authority_crl(hierarchy, name, (), now).reasons:
            if secret_of(name) == passphrases.ROOT and not hierarchy.key_path(name).exists():
                warnings.append(f"{'; '.join(why)}: bring the root's medium one of these months")
                continue
            signed.append(name)
            reasons.append("; ".join(why))

    later = [
        _plan_copy(hierarchy),
        release.plan_release(hierarchy.directory, hierarchy.source),
        bundle.plan_bundle(hierarchy.directory, site, hierarchy.source, now),
    ]
    reasons += [reason for plan in later for reason in plan.reasons]

    def apply() -> None:
        for secret in new_secrets:
            hierarchy.source.make(secret)
        files.write_together(_founded(hierarchy, missing, wanted, now))
        for name in signed:
            plan_authority_crl(hierarchy, name, (), now).apply()
        for plan in later:
            plan.apply()

    return Plan(
        tuple(reasons),
        apply,
        before="".join(f"{name}\n" for name in wanted if name not in missing),
        after="".join(f"{name}\n" for name in wanted),
        facts={"warnings": warnings} if warnings else {},
    )


def plan_authority_crl(
    hierarchy: Hierarchy, name: str, serials: Sequence[int], now: datetime, reason: str = "unspecified"
) -> Plan:
    """Plan the CRL of the CA called `name`, with `serials` added to what it revokes, for `reason` (see Revoked)."""
    check_clock(load_certificate(hierarchy.directory / ROOT / CERTIFICATE), now)
    plan = revocation.plan_crl(
        hierarchy.directory / name / revocation.CRL,
        load_certificate(hierarchy.directory / name / CERTIFICATE),
        lambda: hierarchy.authority(name),
        [revocation.Revoked(serial, now.replace(microsecond=0), reason) for serial in serials],
        lifetime=_crl_lifetime(hierarchy, name, now),
        now=now,
    )
    if name != ROOT or not plan.changed:
        return plan

    def apply() -> None:
        plan.apply()
        _plan_copy(hierarchy).apply()

    return replace(plan, apply=apply)


def new_common_name(hierarchy: Hierarchy, name: str) -> str:
    """Return the CN of a new CA called `name`, which no CA of the site has had."""
    return generations.new_common_name(hierarchy.directory, f"{hierarchy.site} {title(name)}")


def refuse_half_moved(directory: Path, name: str) -> None:
    """Raise StateError when the CA called `name` is missing because a rollover was cut in the middle of a move."""
    if generations.generations(directory, name, [OUTGOING]) and not (directory / name / CERTIFICATE).exists():
        raise StateError(
            f"the {title(name)} is being replaced, and that was interrupted: run playbooks/ca_rollover.yml again, as"
            " before, which finishes it"
        )


def sealed_key(hierarchy: Hierarchy, name: str, curve: str) -> tuple[ec.EllipticCurvePrivateKey, list[files.File]]:
    """Return the key of the CA called `name`, and the file to write for it: none when it existed.

    Raises SecretError when the passphrase is not the one that opens this site's other keys.
    """
    path, secret = hierarchy.key_path(name), hierarchy.source.read(secret_of(name))
    if path.exists():  # a run that was cut before the certificate: the key counts
        return keys.load_key(files.read(path, "key"), secret, str(path)), []
    # A key sealed with a mistyped passphrase would be found out when it is too late.
    if siblings := _siblings(hierarchy, name):
        keys.load_key(files.read(siblings[0], "key"), secret, str(siblings[0]))
    elif not hierarchy.source.makes:
        raise SecretError(
            f"the first key of the {title(name)} wants a random passphrase, not one that somebody thought of: make the"
            " CAs with vault:DIRECTORY as source, or the root in a ceremony (docs/ceremony.md)"
        )
    key = keys.new_key(curve)
    return key, [files.File(path, keys.sealed_pem(key, secret))]


def _founded(hierarchy: Hierarchy, missing: Sequence[str], wanted: dict[str, str], now: datetime) -> list[files.File]:
    """Return the files of the CAs that are `missing`, made in memory, in the order in which they are to be written.

    A CA's first CRL comes before its certificate: where there is a certificate, there has been a CRL, so one that is
    missing later is lost and not begun again (see revocation.read_record).
    """
    contents: list[files.File] = []
    made: dict[str, Authority] = {}
    root = None
    for name in missing:
        if name == ROOT:
            made[ROOT], new = _founded_root(hierarchy, now)
        else:
            root = root or made.get(ROOT) or hierarchy.authority(ROOT)
            key, new = sealed_key(hierarchy, name, PROFILES[wanted[name]].key_kind)
            certificate = root.issue(wanted[name], key.public_key(), new_common_name(hierarchy, name), now=now)
            new = [*new, _public(hierarchy.directory / name, certificate)]
            made[name] = Authority(certificate, key)
        contents += new
    ends = [compat.not_after(authority.certificate) for authority in made.values()]
    for name in (ROOT, *WITH_CRL):
        if name in made and not _has_crl(hierarchy, name) and not _taken_up(hierarchy, name):
            lifetime = min(ends) - now if name == ROOT else _crl_lifetime(hierarchy, name, now)
            crl = revocation.build_crl(made[name], [], number=1, now=now, lifetime=lifetime)
            path = hierarchy.directory / name / revocation.CRL
            for place in dict.fromkeys((path, hierarchy.key_path(name).with_name(revocation.CRL))):
                contents.append(files.File(place, revocation.crl_pem(crl), files.PUBLIC_FILE))
    return sorted(contents, key=lambda content: content.path.name == CERTIFICATE)


def _founded_root(hierarchy: Hierarchy, now: datetime) -> tuple[Authority, list[files.File]]:
    beside = hierarchy.key_path(ROOT).parent
    if (beside / CERTIFICATE).exists():  # the medium of a controller that was lost, and set up again
        found = load_authority(beside, hierarchy.source.read(passphrases.ROOT))
        of_site(hierarchy.site, beside, found.certificate)
        check_clock(found.certificate, now)
        return found, [_public(hierarchy.directory / ROOT, found.certificate), *_taken_up_crl(hierarchy, found)]
    key, new = sealed_key(hierarchy, ROOT, PROFILES[ROOT].key_kind)
    root = self_signed(hierarchy.site, new_common_name(hierarchy, ROOT), key, now)
    places = dict.fromkeys((beside, hierarchy.directory / ROOT))
    return root, new + [_public(place, root.certificate) for place in places]


def _taken_up(hierarchy: Hierarchy, name: str) -> bool:
    return name == ROOT and _certificate_on_medium(hierarchy).exists()


def _certificate_on_medium(hierarchy: Hierarchy) -> Path:
    return hierarchy.key_path(ROOT).with_name(CERTIFICATE)


def _taken_up_crl(hierarchy: Hierarchy, root: Authority) -> list[files.File]:
    """Return the CRL of a root that was made before: the copy beside its key, where there is none here yet."""
    own = hierarchy.directory / ROOT / revocation.CRL
    kept = own if own.exists() else hierarchy.key_path(ROOT).with_name(revocation.CRL)
    crl = revocation.read_record(kept, root.certificate)
    return [] if kept == own else [files.File(own, revocation.crl_pem(crl), files.PUBLIC_FILE)]


def _plan_copy(hierarchy: Hierarchy) -> Plan:
    """Plan the copy of the root's CRL beside a key that lies elsewhere: with it a lost controller can be set up anew.

    Without the medium, and before there is a root, there is nothing to do.
    """
    own = hierarchy.directory / ROOT / revocation.CRL
    copy = hierarchy.key_path(ROOT).with_name(revocation.CRL)
    if copy == own or not own.exists() or not hierarchy.key_path(ROOT).exists():
        return Plan()
    if copy.exists() and copy.read_bytes() == files.read(own, "CRL"):
        return Plan()
    return Plan(
        (f"copy the root's CRL to {copy}",),
        lambda: files.write_atomically(copy, files.read(own, "CRL"), files.PUBLIC_FILE),
    )


def _public(directory: Path, certificate: x509.Certificate) -> files.File:
    return files.File(directory / CERTIFICATE, pem(certificate), files.PUBLIC_FILE)


def _is_new(hierarchy: Hierarchy, secret: str, wanted: dict[str, str]) -> bool:
    """Whether the passphrase `secret` has to be made; raise StateError when it is lost instead."""
    if hierarchy.source.has(secret):
        return False
    users = [name for name in wanted if secret_of(name) == secret and hierarchy.key_path(name).exists()]
    if users:
        raise StateError(f"the passphrase {secret!r} is missing, but the key of {users[0]} needs it: restore it")
    # of a root that is away, nothing is needed
    return not (secret == ROOT and _certificate(hierarchy, ROOT).exists())


def _siblings(hierarchy: Hierarchy, name: str) -> list[Path]:
    """Return the keys that the passphrase of the CA called `name` opens."""
    if secret_of(name) == passphrases.ROOT:
        path = hierarchy.key_path(ROOT)
        return [path] if path.exists() else []
    return sorted(path for path in hierarchy.directory.glob(f"*/{KEY}") if path.parent.name != ROOT)


def _certificate(hierarchy: Hierarchy, name: str) -> Path:
    return hierarchy.directory / name / CERTIFICATE


def _has_crl(hierarchy: Hierarchy, name: str) -> bool:
    return (hierarchy.directory / name / revocation.CRL).exists()


def _crl_lifetime(hierarchy: Hierarchy, name: str, now: datetime) -> timedelta:
    if generations.base(name) == ROOT:  # until the first issuing CA ends: nobody has to fetch the root before
        paths = [hierarchy.directory / each / CERTIFICATE for each in generations.authorities(hierarchy.directory)]
        ends = [compat.not_after(load_certificate(path)) for path in paths]
        return min(end for end in ends if end > now) - now
    fixed = PROFILES[PROFILE_OF[name]].crl_lifetime
    if fixed is None:
        raise StateError(f"the {title(name)} signs no CRL on the controller")
    return fixed


def _complete(hierarchy: Hierarchy, name: str) -> bool:
    """Whether the CA called `name` is there; raise StateError when what is there cannot be it."""
    key, path = hierarchy.key_path(name), _certificate(hierarchy, name)
    if not path.exists():
        return False
    if not key.exists() and not (name == ROOT and hierarchy.root_is_elsewhere):
        raise StateError(f"{path} has no key beside it: restore {KEY} from the backup of the CA")
    certificate = load_certificate(path)
    of_site(hierarchy.site, path.parent, certificate)
    roots = generations.roots(hierarchy.directory)
    if roots and not any(chain.issued_by(certificate, root) for root in roots):
        raise StateError(
            f"{path} is not signed by the root of {hierarchy.site}, or damaged: restore {path.parent} from the backup"
            " of the CA"
        )
    return True
