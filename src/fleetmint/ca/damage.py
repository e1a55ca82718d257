"""Whether the files of the CAs are whole, without opening a key: a damaged one is found before it is needed.

An encrypted key whose bytes were changed inside is found when it is opened; one that is empty, cut off or something
else is found here.
"""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from fleetmint import files
from fleetmint.ca.identifier import ROOT
from fleetmint.ca.store import CaStore
from fleetmint.errors import StateError
from fleetmint.trust import release_key


def of_key(path: Path) -> str | None:
    """Return what is wrong with the private key at `path` and how to restore it; None when it is whole."""
    data = files.read(path, "key")
    if not data.strip(b"\0 \r\n\t"):
        found = "is empty"
    else:
        try:
            serialization.load_pem_private_key(data, None)
            return None
        except TypeError:  # encrypted, and whole as far as can be told without its passphrase
            return None
        except (ValueError, UnsupportedAlgorithm):
            found = "is cut off" if b"-----BEGIN" in data and b"-----END" not in data else "is no private key"
    where = "the backup of the CA"
    if path.parent.name == ROOT.name:
        where += ", or from the medium of its ceremony (docs/ceremony.md)"
    return f"{path} {found}: restore it from {where} (docs/recovery.md); it is not made again"


def of_authorities(directory: Path, elsewhere: Path | None = None) -> list[str]:
    """Return what is wrong with the files of all CAs under `directory`, a sentence each, with the remedy.

    `elsewhere` is where the root's key lies when that is another place.
    """
    found = []
    store = CaStore(directory)
    keys = {*store.keys()} | set((directory / release_key.DIRECTORY).glob("*.key"))
    if elsewhere is not None and elsewhere.exists():
        keys.add(elsewhere)
    for path in sorted(keys):
        try:
            if problem := of_key(path):
                found.append(problem)
        except StateError as error:
            found.append(str(error))
    for ca in store.identifiers():
        try:
            store.certificate(ca)
            if store.crl_path(ca).exists():
                store.record(ca)
        except StateError as error:
            found.append(str(error))
    return found
