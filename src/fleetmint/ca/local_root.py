"""The root at this controller: made when it is missing, and opened to certify what is missing under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from fleetmint import files, passphrases
from fleetmint.ca.hierarchy import Hierarchy, check_clock, of_site, sealed_key
from fleetmint.ca.identifier import ROOT, CaId
from fleetmint.ca.signer import Certified, Made
from fleetmint.ca.store import CaStore, read_record
from fleetmint.errors import StateError
from fleetmint.x509 import revocation
from fleetmint.x509.authority import Authority, load_authority, self_signed
from fleetmint.x509.profiles import PROFILES


@dataclass(frozen=True)
class LocalRoot:
    """A root whose key is here, or on a medium that can be plugged in."""

    @property
    def makes(self) -> tuple[CaId, ...]:
        """The root that it makes."""
        return (ROOT,)

    def roots(self, hierarchy: Hierarchy, now: datetime) -> list[x509.Certificate]:
        """Return the roots that are trusted, the one in use first."""
        return hierarchy.store.roots()

    def certify(self, hierarchy: Hierarchy, missing: Sequence[CaId], now: datetime) -> Certified:
        """Decide to make what is missing; raise StateError, saying what to plug in, when the root's key is away."""
        store = hierarchy.store
        if store.exists(ROOT):
            check_clock(store.certificate(ROOT), now)
            if missing:
                hierarchy.need_root(f"make {'the' if not missing[0].phase else 'a new'} {missing[0].title}")
        elif store.root_is_elsewhere and not store.key_place(ROOT).is_dir():
            # made by hand, it cannot come to lie on the disk under a medium that is not mounted
            raise StateError(
                f"{store.key_place(ROOT)} is not there: plug in the medium that is to hold the root of"
                f" {hierarchy.site} and make this directory on it (mkdir -m 700), or correct fleet_ca_root_dir"
            )
        reasons = tuple(f"make {'a new' if ca.phase else 'the'} {ca.title}" for ca in missing)
        return Certified(reasons, tuple(missing), (), lambda: _made(hierarchy, missing, now))


def _made(hierarchy: Hierarchy, missing: Sequence[CaId], now: datetime) -> Made:
    store = hierarchy.store
    contents: list[files.File] = []
    made: dict[CaId, Authority] = {}
    old = [ROOT] if ROOT in missing and store.certificate_beside_key(ROOT).exists() else []
    root = None
    for ca in missing:
        if ca == ROOT:
            made[ca], new = _root(hierarchy, now)
        else:
            root = root or made.get(ROOT) or hierarchy.authority(ROOT)
            key, new = sealed_key(hierarchy, ca, PROFILES[ca.profile].key_kind)
            certificate = root.issue(ca.profile, key.public_key(), hierarchy.new_common_name(ca), now=now)
            new = [*new, store.public(ca, certificate)]
            made[ca] = Authority(certificate, key)
        contents += new
    return Made(contents, made, old)


def _root(hierarchy: Hierarchy, now: datetime) -> tuple[Authority, list[files.File]]:
    store = hierarchy.store
    if store.certificate_beside_key(ROOT).exists():  # the medium of a controller that was lost, and set up again
        beside = store.key_place(ROOT)
        found = load_authority(beside, hierarchy.source.read(passphrases.ROOT))
        of_site(hierarchy.site, beside, found.certificate)
        check_clock(found.certificate, now)
        return found, [store.public(ROOT, found.certificate), *_crl_on_medium(store, found)]
    key, new = sealed_key(hierarchy, ROOT, PROFILES[ROOT.profile].key_kind)
    root = self_signed(hierarchy.site, hierarchy.new_common_name(ROOT), key, now)
    return root, new + store.public_copies(ROOT, root.certificate)


def _crl_on_medium(store: CaStore, root: Authority) -> list[files.File]:
    """Return the CRL of a root that was made before: the copy beside its key, where there is none here yet."""
    own = store.crl_path(ROOT)
    kept = own if own.exists() else store.crl_beside_key(ROOT)
    crl = read_record(kept, root.certificate)
    return [] if kept == own else [files.File(own, revocation.crl_pem(crl), files.PUBLIC_FILE)]
