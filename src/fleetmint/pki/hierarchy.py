"""The CAs of one site as directories: a root and what it signs, made once and never made again.

    root/  server/  server-next/  operator/  factory/  device-<gateway>/     each with ca.key, ca.crt and crl.pem
    release/  bundle.bin                                                     see release.py and bundle.py

`server-next` is sealed: devices trust it from the factory on, and nobody uses it until the server CA is replaced.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from fleetmint import files
from fleetmint.errors import StateError
from fleetmint.pki import bundle, compat, keys, names, passphrases, release, revocation
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
from fleetmint.pki.profiles import PROFILES
from fleetmint.plan import Plan

ROOT = "root"
PROFILE_OF = {"server": "server-ca", "server-next": "server-ca", "operator": "operator-ca", "factory": "factory-ca"}


@dataclass(frozen=True)
class Hierarchy:
    """The CAs of `site` under `directory`, opened with the passphrases of `source`."""

    directory: Path
    site: str
    source: passphrases.Source

    def authority(self, name: str) -> Authority:
        """Open the CA called `name` (such as `factory`); raise StateError when it is not this site's."""
        found = load_authority(self.directory / name, self.source.read(_secret_of(name)))
        _of_site(self, name, found.certificate)
        return found


def device_ca(gateway: str) -> str:
    """Return the directory name of the device CA of `gateway`."""
    return f"device-{gateway}"


def plan_hierarchy(hierarchy: Hierarchy, gateways: Sequence[str], now: datetime) -> Plan:
    """Plan what is missing of a site's CAs, their passphrases and CRLs.

    A key that exists is never made again, whatever else is missing. Keys are opened only to sign, so a run that finds
    everything in place needs no passphrase. Raises StateError when what is there contradicts itself.
    """
    site = names.site_name(hierarchy.site)
    wanted = {ROOT: ROOT, **PROFILE_OF}
    wanted |= {device_ca(names.device_id(gateway)): "device-ca" for gateway in gateways}
    missing = [name for name in wanted if not _complete(hierarchy, name)]
    steps: list[tuple[str, Callable[[], None]]] = []
    for secret in (passphrases.ROOT, passphrases.ISSUING):
        if not hierarchy.source.has(secret):
            users = [name for name in wanted if _secret_of(name) == secret and _key(hierarchy, name).exists()]
            if users:
                raise StateError(
                    f"the passphrase {secret!r} is missing, but the key of {users[0]} needs it: restore it"
                )
            steps.append(
                (f"make a passphrase for the {secret} key{'s' * (secret != ROOT)}", _making(hierarchy, secret))
            )
    for name in missing:
        steps.append((f"make the {_title(name)}", _founding(hierarchy, name, wanted[name], site, now)))
    for name in (ROOT, "operator", "factory"):
        if name in missing:
            steps.append((f"sign the first CRL of the {_title(name)}", _signing(hierarchy, name, now)))
        elif reasons := plan_authority_crl(hierarchy, name, (), now).reasons:
            steps.append(("; ".join(reasons), _signing(hierarchy, name, now)))
    for plan in (
        release.plan_release(hierarchy.directory, hierarchy.source),
        bundle.plan_bundle(hierarchy.directory, site, hierarchy.source, now),
    ):
        if plan.changed:
            steps.append(("; ".join(plan.reasons), plan.apply))
    return Plan(
        tuple(reason for reason, _ in steps),
        lambda: _run([step for _, step in steps]),
        before="".join(f"{name}\n" for name in wanted if name not in missing),
        after="".join(f"{name}\n" for name in wanted),
    )


def plan_authority_crl(
    hierarchy: Hierarchy, name: str, serials: Sequence[int], now: datetime, reason: str = "unspecified"
) -> Plan:
    """Plan the CRL of the CA called `name`, with `serials` added to what it revokes, for `reason` (see Revoked)."""
    return revocation.plan_crl(
        hierarchy.directory / name / revocation.CRL,
        load_certificate(hierarchy.directory / name / CERTIFICATE),
        lambda: hierarchy.authority(name),
        [revocation.Revoked(serial, now.replace(microsecond=0), reason) for serial in serials],
        lifetime=_crl_lifetime(hierarchy, name, now),
        now=now,
    )


def _crl_lifetime(hierarchy: Hierarchy, name: str, now: datetime) -> timedelta:
    if name == ROOT:  # until the first issuing CA ends: nobody has to fetch the root for a CRL before
        ends = [compat.not_after(load_certificate(path)) for path in hierarchy.directory.glob(f"*/{CERTIFICATE}")]
        return min(ends) - now
    fixed = PROFILES[PROFILE_OF[name]].crl_lifetime
    if fixed is None:
        raise StateError(f"the {_title(name)} signs no CRL on the controller")
    return fixed


def _key(hierarchy: Hierarchy, name: str) -> Path:
    return hierarchy.directory / name / KEY


def _complete(hierarchy: Hierarchy, name: str) -> bool:
    key, certificate = _key(hierarchy, name), hierarchy.directory / name / CERTIFICATE
    if not certificate.exists():
        return False
    if not key.exists():
        raise StateError(f"{certificate} has no key beside it: restore {KEY} from the backup of the CA")
    _of_site(hierarchy, name, load_certificate(certificate))
    return True


def _of_site(hierarchy: Hierarchy, name: str, certificate: x509.Certificate) -> None:
    found = organization(certificate)
    if found != hierarchy.site:
        raise StateError(f"{hierarchy.directory / name} belongs to the site {found!r}, not to {hierarchy.site!r}")


def _making(hierarchy: Hierarchy, secret: str) -> Callable[[], None]:
    return lambda: hierarchy.source.make(secret)


def _founding(hierarchy: Hierarchy, name: str, profile: str, site: str, now: datetime) -> Callable[[], None]:
    def found() -> None:
        key_path = _key(hierarchy, name)
        secret = hierarchy.source.read(_secret_of(name))
        files.make_private_dir(key_path.parent)
        if key_path.exists():  # a run that was cut between the two files: the key counts
            key = keys.load_key(files.read(key_path, "key"), secret, str(key_path))
        else:
            key = keys.new_key(PROFILES[profile].key_kind)
            files.write_atomically(key_path, keys.sealed_pem(key, secret))
        common_name = f"{site} {_title(name)}"
        if name == ROOT:
            certificate = self_signed(site, common_name, key, now).certificate
        else:
            certificate = hierarchy.authority(ROOT).issue(profile, key.public_key(), common_name, now=now)
        files.write_atomically(key_path.with_name(CERTIFICATE), pem(certificate), files.PUBLIC_FILE)

    return found


def _signing(hierarchy: Hierarchy, name: str, now: datetime) -> Callable[[], None]:
    return lambda: plan_authority_crl(hierarchy, name, (), now).apply()


def _run(steps: Sequence[Callable[[], None]]) -> None:
    for step in steps:
        step()


def _secret_of(name: str) -> str:
    return passphrases.ROOT if name == ROOT else passphrases.ISSUING


def _title(name: str) -> str:
    if name == ROOT:
        return "root"
    if name == "server-next":
        return "next server CA"
    if name.startswith("device-"):
        return f"device CA of {name.removeprefix('device-')}"
    return f"{name} CA"
