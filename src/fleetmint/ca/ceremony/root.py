"""The machine of the root: no network, no issuing CA. It makes the root once, and answers requests from a stick.

Under the directory of the CA: `root/` with ca.key, ca.crt, crl.pem and the transcript, and `issued/` with every
certificate that the root signed. The passphrase of the key exists as shares only.
"""

import contextlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fleetmint import files, passphrases, staging, trouble
from fleetmint.ca.ceremony import exchange, transcript
from fleetmint.ca.crls import plan_crl, root_crl_lifetime
from fleetmint.ca.hierarchy import Hierarchy, check_clock, of_site
from fleetmint.ca.identifier import ROOT, CaId
from fleetmint.ca.store import CaStore, common_name, fingerprint
from fleetmint.errors import StateError
from fleetmint.passphrases import shares
from fleetmint.plan import Plan
from fleetmint.x509 import compat, keys, names, revocation
from fleetmint.x509.authority import CERTIFICATE, KEY, Authority, load_certificate, pem, public_key_bytes, self_signed
from fleetmint.x509.profiles import PROFILES

ISSUED = "issued"
TRANSCRIPT = "transcript.txt"
# What is not yet the root: a run that is cut leaves this behind, and the next one starts again.
STAGING = "root.unfinished"
_SHARES_DIRECTORY = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class Custody:
    """How the root's passphrase is kept: `needed` of `count` shares, written once to a directory below `into`."""

    into: Path
    count: int
    needed: int


def shares_directory(custody: Custody, root: x509.Certificate) -> Path:
    """Return where the shares of this root are written: a name of its own, so that no two roots' shares mix."""
    return custody.into / root.fingerprint(hashes.SHA256())[:8].hex()


@dataclass(frozen=True)
class Root:
    """The root of a site: SHA-256 of its certificate; `shares` is the directory of the shares made with it."""

    root_fingerprint: str
    shares: str | None = None


def plan_root(directory: Path, site: str, custody: Custody, people: Sequence[str], now: datetime) -> Plan[Root]:
    """Plan the root of `site` in `directory`, its transcript, and the shares of its passphrase.

    A root that exists is never made again. The shares are on the disk before the root is, and the root comes into being
    with one rename: a run that is cut leaves either no root or a root whose shares exist. Raises StateError for a root
    of another site and for a clock that cannot be right, SecretError for numbers of shares that make no sense.
    """
    names.site_name(site)
    shares.checked_numbers(custody.count, custody.needed)
    store = CaStore(directory)
    final = store.place(ROOT)
    if store.exists(ROOT):
        found = store.certificate(ROOT)
        of_site(site, final, found)
        check_clock(found, now)
        line = f"root {fingerprint(found)}\n"
        return Plan(before=line, after=line, expected=Root(fingerprint(found)))
    if store.has_key(ROOT):
        raise StateError(
            f"{store.key_path(ROOT)} has no certificate beside it: restore {final} from the backup of the CA"
        )

    secret = shares.new_secret()
    key = keys.new_key(PROFILES[ROOT.profile].key_kind)
    authority = self_signed(site, common_name(site, ROOT), key, now)
    root = authority.certificate
    # The first CRL comes with the root, so that one that is missing later is known to be lost.
    crl = revocation.build_crl(authority, [], number=1, now=now, lifetime=root_crl_lifetime(root, (), now))
    papers = shares_directory(custody, root)
    made = Root(fingerprint(root), str(papers))

    def make() -> Root:
        parts = shares.split(secret, root.fingerprint(hashes.SHA256()), custody.count, custody.needed)
        text = transcript.of_root(root, key.public_key(), custody.count, custody.needed, people, now)
        unfinished = directory / STAGING
        _forget_cut(unfinished, custody)
        try:
            files.write_together(
                # first, since it tells the next run where the shares of a root are that never came into being
                [files.File(unfinished / CERTIFICATE, pem(root), files.PUBLIC_FILE)]
                + [
                    files.File(
                        papers / f"share-{part.number}.txt", shares.printed(part, site, fingerprint(root)).encode()
                    )
                    for part in parts
                ]
                + [
                    files.File(unfinished / KEY, keys.sealed_pem(key, shares.passphrase(secret))),
                    files.File(unfinished / revocation.CRL, revocation.crl_pem(crl), files.PUBLIC_FILE),
                    files.File(unfinished / TRANSCRIPT, text.encode(), files.PUBLIC_FILE),
                ]
            )
            _rename(unfinished, final)
        except StateError:
            _forget_cut(unfinished, custody)
            raise
        return made

    return Plan(
        (f"make the root of {site} and {custody.count} shares of its passphrase, {custody.needed} of which open it",),
        make,
        after=f"root of {site}, {custody.needed} of {custody.count} shares\n",
        expected=made,
    )


def plan_answers(
    hierarchy: Hierarchy,
    requests: Path,
    answers: Path,
    people: Sequence[str],
    now: datetime,
    *,
    revoke: Sequence[int] = (),
) -> Plan[Root]:
    """Plan the answers to all files in `requests`: certificates, the root's certificate, its CRL and a transcript.

    What was answered before gets the same certificate again. `revoke` holds serial numbers of issuing CAs to put on the
    CRL. Raises StateError when a request is not exactly what that CA may ask, or when a CA that the root signed and did
    not revoke asks with another key.
    """
    store = hierarchy.store
    root = store.certificate(ROOT)
    of_site(hierarchy.site, store.place(ROOT), root)
    check_clock(root, now)
    if not requests.is_dir():
        raise StateError(f"there is no directory {requests}: plug in the medium with the requests of the controller")
    asked = {
        exchange.issuing_ca(path.stem): exchange.read_request(path, hierarchy.site)
        for path in sorted(requests.glob(f"*{exchange.REQUEST}"))
    }
    crl_path = store.crl_path(ROOT)
    gone = {entry.serial for entry in revocation.entries(store.record(ROOT))} | set(revoke)
    known = {ca: _answered(hierarchy, request, gone, now) for ca, request in asked.items()}
    new = [ca for ca, certificate in known.items() if certificate is None]
    reasons = [f"sign the {asked[ca].title} (SPKI {keys.spki_sha256(asked[ca].key).hex()})" for ca in new]
    own = Root(fingerprint(root))
    opened: list[Authority] = []

    def authority() -> Authority:
        if not opened:
            opened.append(hierarchy.authority(ROOT))
        return opened[0]

    def plan_list(also: Sequence[x509.Certificate]) -> Plan[None]:
        return plan_crl(
            crl_path,
            root,
            authority,
            [revocation.Revoked(serial, now.replace(microsecond=0)) for serial in revoke],
            lifetime=root_crl_lifetime(root, (*_issued(hierarchy), *also), now),
            now=now,
        )

    reasons += plan_list(()).reasons
    stale = [ca for ca in known if ca not in new and not _same(answers, ca, known[ca])]
    reasons += [f"answer {ca}{exchange.REQUEST} as before" for ca in stale]
    if not reasons:
        reasons += _missing(answers, root, crl_path)

    def answer() -> Root:
        signed = {ca: authority().issue(ca.profile, asked[ca].key, asked[ca].common_name, now=now) for ca in new}
        # the record first: what the root signed is known here before anybody else has it
        files.write_together([_record(hierarchy, ca, certificate) for ca, certificate in signed.items()])
        plan_list(tuple(signed.values())).apply()
        crl = files.read(crl_path, "CRL")
        replies = {ca: certificate for ca, certificate in (known | signed).items() if certificate is not None}
        text = transcript.of_answers(root, replies, crl, people, now)
        contents = [
            files.File(answers / f"{ca}{exchange.ANSWER}", pem(certificate), files.PUBLIC_FILE)
            for ca, certificate in replies.items()
        ]
        contents += [
            files.File(answers / exchange.ROOT_CERTIFICATE, pem(root), files.PUBLIC_FILE),
            files.File(answers / exchange.ROOT_CRL, crl, files.PUBLIC_FILE),
        ]
        for place in (answers, hierarchy.directory / ISSUED):
            name = f"transcript-{now:%Y%m%dT%H%M%SZ}.txt"
            contents.append(files.File(place / name, text.encode(), files.PUBLIC_FILE))
        files.write_together(contents)
        return own

    return Plan(
        tuple(reasons),
        answer,
        before="".join(f"{ca}\n" for ca in asked if ca not in new),
        after="".join(f"{ca}\n" for ca in asked),
        expected=own,
    )


def check_shares(directory: Path, parts: Sequence[shares.Share]) -> str:
    """Return a sentence about the shares that open the root in `directory`; raise SecretError when they do not.

    Nothing is written anywhere.
    """
    store = CaStore(directory)
    root = store.certificate(ROOT)
    for part in parts:
        if part.root != root.fingerprint(hashes.SHA256())[: shares.ROOT_BYTES]:
            raise StateError(
                f"share {part.number} is of another root than {fingerprint(root)}: bring this root's shares"
            )
    source = shares.source(lambda: parts)
    key_path = store.key_path(ROOT)
    key = keys.load_key(
        files.read_private(key_path, "the root's key", refuse=True), source.read(passphrases.ROOT), str(key_path)
    )
    if keys.spki(key.public_key()) != public_key_bytes(root):
        raise StateError(f"{key_path} does not belong to {store.certificate_path(ROOT)}: restore both from one backup")
    numbers = ", ".join(str(number) for number in sorted({part.number for part in parts}))
    return f"The shares {numbers} open the root {fingerprint(root)}."


def _forget_cut(unfinished: Path, custody: Custody) -> None:
    """Remove what a run left that was cut before there was a root: its files, and the shares that open nothing now."""
    with contextlib.suppress(StateError):
        papers = shares_directory(custody, load_certificate(unfinished / CERTIFICATE))
        for path in sorted(papers.glob("share-*.txt")):
            files.destroy(path)
    shutil.rmtree(unfinished, ignore_errors=True)
    for papers in sorted(custody.into.glob("*/")):
        if _SHARES_DIRECTORY.fullmatch(papers.name):
            staging.look(papers)
            with contextlib.suppress(OSError):  # the shares of another root are in it
                papers.rmdir()


def _rename(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        raise StateError(
            f"cannot make {target}: {error.strerror}; no root was made; {trouble.remedy(error, target.parent)}"
        ) from error


def _issued(hierarchy: Hierarchy) -> list[x509.Certificate]:
    return [load_certificate(path) for path in sorted((hierarchy.directory / ISSUED).glob("*.crt"))]


def _record(hierarchy: Hierarchy, ca: CaId, certificate: x509.Certificate) -> files.File:
    path = hierarchy.directory / ISSUED / f"{ca}.{certificate.serial_number:x}.crt"
    return files.File(path, pem(certificate), files.PUBLIC_FILE)


def _answered(
    hierarchy: Hierarchy, request: exchange.Request, gone: set[int], now: datetime
) -> x509.Certificate | None:
    """Return the certificate that this request was answered with, if it was.

    A later CA of one name has another CN, and takes nothing from the one before: that one stays good until it ends.
    """
    ca = request.ca
    for path in sorted((hierarchy.directory / ISSUED).glob(f"{ca}.*.crt")):
        found = load_certificate(path)
        if names.common_name(found.subject) != request.common_name or found.serial_number in gone:
            continue
        if compat.not_after(found) - now < PROFILES[ca.profile].renew_before:
            continue
        if public_key_bytes(found) == keys.spki(request.key):
            return found
        raise StateError(
            f"the {request.title} asks with another key than the one that was signed (serial"
            f" {found.serial_number:x}): if that key is lost, revoke its certificate with --revoke and the serial; if"
            " not, somebody else is asking"
        )
    return None


def _same(answers: Path, ca: CaId, certificate: x509.Certificate | None) -> bool:
    path = answers / f"{ca}{exchange.ANSWER}"
    return certificate is not None and path.exists() and path.read_bytes() == pem(certificate)


def _missing(answers: Path, root: x509.Certificate, crl: Path) -> list[str]:
    wanted = {exchange.ROOT_CERTIFICATE: pem(root), exchange.ROOT_CRL: files.read(crl, "CRL")}
    return [
        f"give {name} along"
        for name, data in wanted.items()
        if not (answers / name).exists() or (answers / name).read_bytes() != data
    ]
