"""The CAs of a controller that never sees the root's key: it asks with files, and takes over what comes back.

The root was made in a ceremony on another machine (ceremony.py). What travels is in exchange.py. Nothing is taken over
unless all of it is what was asked for, under the root whose fingerprint people have compared with the transcript.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from fleetmint import files, passphrases
from fleetmint.ca.ceremony import exchange
from fleetmint.ca.crls import WITH_CRL, plan_authority_crl, read_record
from fleetmint.ca.hierarchy import ROOT, Hierarchy, check_clock, fingerprint, issuing, of_site, sealed_key, title
from fleetmint.errors import StateError
from fleetmint.plan import Plan
from fleetmint.trust import bundle, release_key
from fleetmint.x509 import chain, compat, keys, names, revocation
from fleetmint.x509.authority import CERTIFICATE, KEY, Authority, load_certificate, pem
from fleetmint.x509.profiles import PROFILES


@dataclass(frozen=True)
class Exchange:
    """The two directories that travel, and the SHA-256 of the root that may answer (hexadecimal, any separators)."""

    requests: Path
    answers: Path
    root_fingerprint: str


@dataclass(frozen=True)
class _Root:
    """The root's public part: what holds from now on, and the files to write for it."""

    certificate: x509.Certificate | None
    new: list[files.File]
    reasons: list[str]


@dataclass(frozen=True)
class Asked:
    """The CAs whose request nobody has answered: they are `waiting`."""

    waiting: tuple[str, ...]


def plan_offline_hierarchy(hierarchy: Hierarchy, gateways: Sequence[str], post: Exchange, now: datetime) -> Plan[Asked]:
    """Plan the keys and requests of the issuing CAs, and the take-over of the answers that are there.

    A key that exists is never made again.
    Raises StateError, before anything is written, when an answer is not exactly what was asked for.
    """
    names.site_name(hierarchy.site)
    wanted = issuing(gateways)
    if hierarchy.key_path(ROOT).exists():
        raise StateError(
            f"{hierarchy.key_path(ROOT)} is the key of a root, which a controller beside a ceremony must not hold:"
            " leave fleet_ca_root at `controller`, or carry that key to the machine of the root"
        )
    root = _take_over_root(hierarchy, post, now)
    missing = [name for name in wanted if not _complete(hierarchy, name, root.certificate)]
    answers, taken = _take_over_answers(hierarchy, missing, post, root, now)
    answered = list(answers)
    asking = [name for name in missing if name not in answered]
    unasked = [name for name in asking if not _asked(hierarchy, name, post)]
    new_secret = not hierarchy.source.has(passphrases.ISSUING)
    if new_secret and (users := sorted(hierarchy.directory.glob(f"*/{KEY}"))):
        raise StateError(f"the passphrase {passphrases.ISSUING!r} is missing, but {users[0]} needs it: restore it")

    reasons = ["make a passphrase for the issuing keys"] if new_secret else []
    reasons += root.reasons
    reasons += [f"take over the {title(name)} from {post.answers}" for name in answered]
    reasons += [f"ask for the {title(name)} in {post.requests}" for name in unasked]
    signed = [name for name in WITH_CRL if name not in missing]
    signed = [name for name in signed if plan_authority_crl(hierarchy, name, (), now).changed]
    first = [name for name in WITH_CRL if name in answered and not _crl(hierarchy, name).exists()]
    reasons += [f"sign the CRL of the {title(name)}" for name in (*signed, *first)]

    later = [release_key.plan_release(hierarchy.directory, hierarchy.source)]
    if not set(bundle.ANCHORS) & set(asking):  # devices are told of both server CAs, or of none
        later.append(bundle.plan_bundle(hierarchy.directory, hierarchy.site, hierarchy.source, now))
    reasons += [reason for plan in later for reason in plan.reasons]

    asked = Asked(tuple(asking))

    def apply() -> Asked:
        if new_secret:
            hierarchy.source.make(passphrases.ISSUING)
        # before their certificates, so that a CRL that is missing later is known to be lost
        crls = [_first_crl(hierarchy, name, answers[name], now) for name in first]
        requests = [content for name in unasked for content in _ask(hierarchy, name, post)]
        files.write_together([*root.new, *crls, *taken, *requests])
        for name in answered:
            (post.requests / f"{name}{exchange.REQUEST}").unlink(missing_ok=True)
        for name in signed:
            plan_authority_crl(hierarchy, name, (), now).apply()
        for plan in later:
            plan.apply()
        return asked

    return Plan(
        tuple(reasons),
        apply,
        before="".join(f"{name}\n" for name in wanted if name not in missing),
        after="".join(f"{name}{' (waiting)' * (name in asking)}\n" for name in wanted),
        expected=asked,
    )


def _take_over_root(hierarchy: Hierarchy, post: Exchange, now: datetime) -> _Root:
    """Decide about the root's certificate and CRL, those that are here and those that came."""
    own, came = hierarchy.directory / ROOT / CERTIFICATE, post.answers / exchange.ROOT_CERTIFICATE
    if not own.exists() and not came.exists():
        return _Root(None, [], [])
    root = load_certificate(own if own.exists() else came)
    _check_root(root, own if own.exists() else came, hierarchy.site, post.root_fingerprint)
    check_clock(root, now)
    new, reasons = [], []
    if not own.exists():
        reasons.append(f"take over the root {fingerprint(root)}")
    elif came.exists() and load_certificate(came) != root:
        raise StateError(
            f"{came} is another root than this site's ({fingerprint(root)}): bring the answers of this one"
        )
    crl = _newer_crl(hierarchy, post, root, now)
    if crl is not None:
        new.append(files.File(hierarchy.directory / ROOT / revocation.CRL, revocation.crl_pem(crl), files.PUBLIC_FILE))
        reasons.append(f"take over the root's CRL number {revocation.crl_number(crl)}")
    if not own.exists():
        new.append(files.File(own, pem(root), files.PUBLIC_FILE))
    return _Root(root, new, reasons)


def _check_root(root: x509.Certificate, path: Path, site: str, wanted: str) -> None:
    digits = "".join(letter for letter in wanted.lower() if letter in "0123456789abcdef")
    if not digits:
        raise StateError(
            f"{path} is the root {fingerprint(root)}: compare that with the transcript of the ceremony, set"
            " ca_root_fingerprint to it, and run this again"
        )
    if digits != fingerprint(root).replace(":", "").lower():
        raise StateError(
            f"{path} is the root {fingerprint(root)}, but ca_root_fingerprint says {wanted}: it is not the root of the"
            " ceremony, or the variable was copied wrongly; nothing was taken over"
        )
    of_site(site, path, root)
    key_usage = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    if not chain.issued_by(root, root) or not key_usage.ca:
        raise StateError(f"{path} is no root: bring the certificate that the ceremony made")


def _newer_crl(
    hierarchy: Hierarchy, post: Exchange, root: x509.Certificate, now: datetime
) -> x509.CertificateRevocationList | None:
    """Return the CRL that came, when it is newer than the one here; raise StateError when it must not be used."""
    own, came = _crl(hierarchy, ROOT), post.answers / exchange.ROOT_CRL
    if own.with_name(CERTIFICATE).exists():
        read_record(own, root)  # what came on an earlier visit must not take the place of a lost one
    elif not came.exists() and not own.exists():
        raise StateError(f"the root came without its CRL, {came}: bring all of the answers")
    if not came.exists():
        return None
    crl = revocation.load_crl(files.read(came, "CRL"), str(came))
    if not revocation.signed_by(crl, root):
        raise StateError(f"{came} is not signed by the root of {hierarchy.site}: bring the answers of this root")
    if own.exists():
        here = revocation.load_crl(files.read(own, "CRL"), str(own))
        number = revocation.usable_number(here)  # a list without one is older than any that has one
        if number is not None and revocation.crl_number(crl) <= number:
            return None  # answers of an earlier visit
        revocation.refuse_forgetting(
            crl, here, what=str(came), where=str(own), remedy=lambda _: "bring the root's newest CRL"
        )
    if compat.next_update(crl) <= now:
        raise StateError(f"{came} ended on {compat.next_update(crl):%Y-%m-%d}: let the root sign a new one")
    return crl


def _take_over_answers(
    hierarchy: Hierarchy, missing: Sequence[str], post: Exchange, root: _Root, now: datetime
) -> tuple[dict[str, Authority], list[files.File]]:
    """Check every answer to an open request; return those CAs by name, and the files of their certificates."""
    answered, taken = {}, []
    for name in missing:
        path = post.answers / f"{name}{exchange.ANSWER}"
        if not path.exists():
            continue
        if root.certificate is None:
            raise StateError(f"{path} came without {exchange.ROOT_CERTIFICATE}: bring all of the answers")
        key_path = hierarchy.key_path(name)
        if not key_path.exists():
            raise StateError(f"{path} answers a request that was not made here: restore {key_path}, or remove {path}")
        secret = hierarchy.source.read(passphrases.ISSUING)
        key = keys.load_key(files.read_private(key_path, "the CA's key", refuse=True), secret, str(key_path))
        found = exchange.check_answer(path, hierarchy.site, root.certificate, key.public_key())
        if compat.not_before(found) > now:
            raise StateError(
                f"{path} begins on {compat.not_before(found):%Y-%m-%d %H:%M}Z, and here it is {now:%Y-%m-%d %H:%M}Z:"
                " set the clock that is wrong; nothing was taken over"
            )
        if found.serial_number in _revoked(hierarchy, root):
            raise StateError(f"{path} is revoked by the root's CRL: have a new request answered")
        answered[name] = Authority(found, key)
        taken.append(files.File(hierarchy.directory / name / CERTIFICATE, pem(found), files.PUBLIC_FILE))
    return answered, taken


def _crl(hierarchy: Hierarchy, name: str) -> Path:
    return hierarchy.directory / name / revocation.CRL


def _first_crl(hierarchy: Hierarchy, name: str, authority: Authority, now: datetime) -> files.File:
    lifetime = PROFILES[exchange.profile_of(name)].crl_lifetime
    if lifetime is None:
        raise StateError(f"the {title(name)} signs no CRL on the controller")
    crl = revocation.build_crl(authority, [], number=1, now=now, lifetime=lifetime)
    return files.File(_crl(hierarchy, name), revocation.crl_pem(crl), files.PUBLIC_FILE)


def _revoked(hierarchy: Hierarchy, root: _Root) -> set[int]:
    path = hierarchy.directory / ROOT / revocation.CRL
    data = [content.data for content in root.new if content.path == path] or [path.read_bytes()] * path.exists()
    return {entry.serial for pem_crl in data for entry in revocation.entries(revocation.load_crl(pem_crl, str(path)))}


def _complete(hierarchy: Hierarchy, name: str, root: x509.Certificate | None) -> bool:
    path = hierarchy.directory / name / CERTIFICATE
    if not path.exists():
        return False
    if not hierarchy.key_path(name).exists():
        raise StateError(f"{path} has no key beside it: restore {KEY} from the backup of the CA")
    certificate = load_certificate(path)
    of_site(hierarchy.site, path.parent, certificate)
    if root is None or not chain.issued_by(certificate, root):
        raise StateError(
            f"{path} is not signed by the root of this site, or damaged: restore it from the backup of the CA"
        )
    return True


def _asked(hierarchy: Hierarchy, name: str, post: Exchange) -> bool:
    """Whether the request of the CA called `name` lies there; raise StateError when it is damaged."""
    path = post.requests / f"{name}{exchange.REQUEST}"
    if not path.exists() or not hierarchy.key_path(name).exists():
        return False
    try:
        exchange.read_request(path, hierarchy.site)
    except StateError as error:
        raise StateError(f"{error}; or remove it, and it is made again for the same key") from error
    return True


def _ask(hierarchy: Hierarchy, name: str, post: Exchange) -> list[files.File]:
    key, new = sealed_key(hierarchy, name, PROFILES[exchange.profile_of(name)].key_kind)
    request = exchange.build_request(hierarchy.site, name, key)
    return [*new, files.File(post.requests / f"{name}{exchange.REQUEST}", request, files.PUBLIC_FILE)]
