"""Who certifies the CAs under a root: a root at hand (local_root.py), or one that files go to (external_root.py)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cryptography import x509

from fleetmint import files
from fleetmint.ca.crls import WITH_CRL, issuing_crl_lifetime, root_crl_lifetime
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.ca.identifier import ROOT, CaId, Phase
from fleetmint.x509 import revocation
from fleetmint.x509.authority import CERTIFICATE, Authority


@dataclass(frozen=True)
class Made:
    """What was made in memory: files to write, and the CAs that have their certificate then.

    `old` are those of them that had a CRL before, which is among the files.
    """

    contents: list[files.File]
    authorities: Mapping[CaId, Authority] = field(default_factory=dict)
    old: Sequence[CaId] = ()


@dataclass(frozen=True)
class Certified:
    """What a signer does about the CAs that are missing, decided and not yet done.

    `waiting` are those that have no certificate afterwards. `done` is called when everything is on the disk.
    """

    reasons: tuple[str, ...]
    ready: tuple[CaId, ...]
    waiting: tuple[CaId, ...]
    make: Callable[[], Made]
    done: Callable[[], None] = lambda: None


class Signer(Protocol):
    """Whoever has the root's key."""

    @property
    def makes(self) -> tuple[CaId, ...]:
        """The roots that it makes here; empty when the root's key never comes here."""

    def roots(self, hierarchy: Hierarchy, now: datetime) -> list[x509.Certificate]:
        """Return the roots that are trusted, the one in use first; those that are taken over in this run, too."""

    def certify(self, hierarchy: Hierarchy, missing: Sequence[CaId], now: datetime) -> Certified:
        """Decide what to do about the CAs that are missing, perhaps none; nothing is written.

        Raises StateError when it cannot be done, or when what came is not exactly what was asked for.
        """


def write(hierarchy: Hierarchy, certified: Certified, now: datetime) -> None:
    """Write what a signer has decided.

    A CA's first CRL comes before its certificate: where there is a certificate, there has been a CRL, so one that is
    missing later is lost and not begun again (see store.read_record).
    """
    made = certified.make()
    contents = [*made.contents, *_first_crls(hierarchy, made, now)]
    files.write_together(sorted(contents, key=lambda content: content.path.name == CERTIFICATE))
    certified.done()


def _first_crls(hierarchy: Hierarchy, made: Made, now: datetime) -> list[files.File]:
    store, contents = hierarchy.store, []
    for ca, authority in made.authorities.items():
        if ca.at(Phase.ACTIVE) not in (ROOT, *WITH_CRL) or ca in made.old or store.crl_path(ca).exists():
            continue
        if ca.is_root:
            certificates = [other.certificate for other in made.authorities.values()]
            lifetime = root_crl_lifetime(authority.certificate, certificates, now)
        else:
            lifetime = issuing_crl_lifetime([authority.certificate], now)
        crl = revocation.crl_pem(revocation.build_crl(authority, [], number=1, now=now, lifetime=lifetime))
        for path in dict.fromkeys((store.crl_path(ca), store.crl_beside_key(ca))):
            contents.append(files.File(path, crl, files.PUBLIC_FILE))
    return contents
