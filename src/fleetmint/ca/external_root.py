"""The CAs of a controller that never sees the root's key: it asks with files, and takes over what comes back.

The root was made in a ceremony on another machine (ceremony/root.py), and ceremony/exchange.py has what travels.
Nothing is taken over unless all of it is what was asked for, under the root whose fingerprint people have compared with
the transcript.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from fleetmint import files, passphrases
from fleetmint.ca.ceremony import exchange
from fleetmint.ca.hierarchy import Hierarchy, check_clock, of_site, sealed_key
from fleetmint.ca.identifier import ROOT, CaId
from fleetmint.ca.signer import Certified, Made
from fleetmint.ca.store import fingerprint, read_record
from fleetmint.errors import StateError
from fleetmint.x509 import chain, compat, keys, revocation
from fleetmint.x509.authority import Authority, load_certificate
from fleetmint.x509.profiles import PROFILES


@dataclass(frozen=True)
class Exchange:
    """The two directories that travel, and the SHA-256 of the root that may answer (hexadecimal, any separators)."""

    requests: Path
    answers: Path
    root_fingerprint: str

    def request_path(self, ca: CaId) -> Path:
        """Return where the request of a CA goes."""
        return self.requests / f"{ca.name}{exchange.REQUEST}"

    def answer_path(self, ca: CaId) -> Path:
        """Return where the certificate of a CA comes from."""
        return self.answers / f"{ca.name}{exchange.ANSWER}"


@dataclass(frozen=True)
class _Root:
    """The root's public part: what holds from now on, and the files to write for it."""

    certificate: x509.Certificate | None
    new: list[files.File]
    reasons: list[str]


@dataclass(frozen=True)
class ExternalRoot:
    """A root on a machine of its own, reached with the files of `post`."""

    post: Exchange

    @property
    def makes(self) -> tuple[CaId, ...]:
        """No root: its key never comes here."""
        return ()

    def roots(self, hierarchy: Hierarchy, now: datetime) -> list[x509.Certificate]:
        """Return the root that is trusted: the one here, or the one that came."""
        root = _take_over_root(hierarchy, self.post, now).certificate
        return [] if root is None else [root, *(each for each in hierarchy.store.roots() if each != root)]

    def certify(self, hierarchy: Hierarchy, missing: Sequence[CaId], now: datetime) -> Certified:
        """Decide which answers to take over and what to ask for; a request that lies there is not made again."""
        root, post = _take_over_root(hierarchy, self.post, now), self.post
        answers, taken = _take_over_answers(hierarchy, missing, post, root, now)
        waiting = tuple(ca for ca in missing if ca not in answers)
        unasked = [ca for ca in waiting if not _asked(hierarchy, ca, post)]
        reasons = [*root.reasons]
        reasons += [f"take over the {ca.title} from {post.answers}" for ca in answers]
        reasons += [f"ask for the {ca.title} in {post.requests}" for ca in unasked]

        def make() -> Made:
            requests = [content for ca in unasked for content in _ask(hierarchy, ca, post)]
            return Made([*root.new, *taken, *requests], answers)

        def done() -> None:
            for ca in answers:
                post.request_path(ca).unlink(missing_ok=True)

        return Certified(tuple(reasons), tuple(answers), waiting, make, done)


def known_root(hierarchy: Hierarchy, requests: Path, answers: Path) -> ExternalRoot:
    """Return the root whose certificate is here already, which people have compared when it came."""
    here = hierarchy.store.roots()
    return ExternalRoot(Exchange(requests, answers, fingerprint(here[0]) if here else ""))


def _take_over_root(hierarchy: Hierarchy, post: Exchange, now: datetime) -> _Root:
    """Decide about the root's certificate and CRL, those that are here and those that came."""
    store = hierarchy.store
    if store.has_key(ROOT):
        raise StateError(
            f"{store.key_path(ROOT)} is the key of a root, which a controller beside a ceremony must not hold:"
            " leave fleet_ca_root at `controller`, or carry that key to the machine of the root"
        )
    own, came = store.certificate_path(ROOT), post.answers / exchange.ROOT_CERTIFICATE
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
        new.append(files.File(store.crl_path(ROOT), revocation.crl_pem(crl), files.PUBLIC_FILE))
        reasons.append(f"take over the root's CRL number {revocation.crl_number(crl)}")
    if not own.exists():
        new.append(store.public(ROOT, root))
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
    own, came = hierarchy.store.crl_path(ROOT), post.answers / exchange.ROOT_CRL
    if hierarchy.store.exists(ROOT):
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
    hierarchy: Hierarchy, missing: Sequence[CaId], post: Exchange, root: _Root, now: datetime
) -> tuple[dict[CaId, Authority], list[files.File]]:
    """Check every answer to an open request; return those CAs, and the files of their certificates."""
    answered, taken = {}, []
    for ca in missing:
        path = post.answer_path(ca)
        if not path.exists():
            continue
        if hierarchy.store.has_certificate(load_certificate(path)):
            continue  # the answer to the request of an earlier CA of this name
        if root.certificate is None:
            raise StateError(f"{path} came without {exchange.ROOT_CERTIFICATE}: bring all of the answers")
        key_path = hierarchy.store.key_path(ca)
        if not key_path.exists():
            raise StateError(f"{path} answers a request that was not made here: restore {key_path}, or remove {path}")
        secret = hierarchy.source.read(passphrases.ISSUING)
        key = keys.load_key(files.read_private(key_path, "the CA's key", refuse=True), secret, str(key_path))
        request = exchange.Request(ca, key.public_key(), hierarchy.new_common_name(ca))
        found = exchange.check_answer(path, hierarchy.site, request, root.certificate)
        if compat.not_before(found) > now:
            raise StateError(
                f"{path} begins on {compat.not_before(found):%Y-%m-%d %H:%M}Z, and here it is {now:%Y-%m-%d %H:%M}Z:"
                " set the clock that is wrong; nothing was taken over"
            )
        if found.serial_number in _revoked(hierarchy, root):
            raise StateError(f"{path} is revoked by the root's CRL: have a new request answered")
        answered[ca] = Authority(found, key)
        taken.append(hierarchy.store.public(ca, found))
    return answered, taken


def _revoked(hierarchy: Hierarchy, root: _Root) -> set[int]:
    path = hierarchy.store.crl_path(ROOT)
    data = [content.data for content in root.new if content.path == path] or [path.read_bytes()] * path.exists()
    return {entry.serial for pem_crl in data for entry in revocation.entries(revocation.load_crl(pem_crl, str(path)))}


def _asked(hierarchy: Hierarchy, ca: CaId, post: Exchange) -> bool:
    """Whether the request of a CA lies there; raise StateError when it is damaged."""
    path = post.request_path(ca)
    if not path.exists() or not hierarchy.store.has_key(ca):
        return False
    try:
        exchange.read_request(path, hierarchy.site)
    except StateError as error:
        raise StateError(f"{error}; or remove it, and it is made again for the same key") from error
    return True


def _ask(hierarchy: Hierarchy, ca: CaId, post: Exchange) -> list[files.File]:
    key, new = sealed_key(hierarchy, ca, PROFILES[ca.profile].key_kind)
    request = exchange.build_request(hierarchy.site, ca, hierarchy.new_common_name(ca), key)
    return [*new, files.File(post.request_path(ca), request, files.PUBLIC_FILE)]
