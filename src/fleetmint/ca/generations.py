"""Which CAs there are of one name while one takes the place of another, told by where they lie on disk.

    NAME/            in use: it issues                      outgoing/NAME/   still trusted, issues nothing
    incoming/NAME/   trusted already, issues nothing yet    leaving/root/    trusted no more, its CRL still delivered
                                                            retired/NAME.FINGERPRINT/   kept for the record

A CA is called by its path below the directory of the CAs, such as `outgoing/device-gateway`. While a root is replaced,
the CAs under it have a certificate of each root for the same key and name: `ca.crt` is the one in use, and beside it
lies `ca.incoming.crt` or `ca.outgoing.crt`. rollover/ moves all of this.
"""

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from fleetmint.x509 import names
from fleetmint.x509.authority import CERTIFICATE, load_certificate
from fleetmint.x509.chain import issued_by

ROOT = "root"
INCOMING, OUTGOING, LEAVING, RETIRED = "incoming", "outgoing", "leaving", "retired"
# The certificates that a CA has under the root that comes and under the one that goes.
CERTIFICATE_INCOMING, CERTIFICATE_OUTGOING = "ca.incoming.crt", "ca.outgoing.crt"
_CERTIFICATES = (CERTIFICATE, CERTIFICATE_INCOMING, CERTIFICATE_OUTGOING)
# Where the CAs lie whose certificates are trusted, the one in use first.
_TRUSTED = ("", INCOMING, OUTGOING)


def base(name: str) -> str:
    """Return the name without the generation: `root` of `outgoing/root`."""
    return name.rpartition("/")[2]


def phase(name: str) -> str:
    """Return incoming, outgoing or leaving; empty for the CA in use."""
    return name.rpartition("/")[0]


def authorities(directory: Path) -> list[str]:
    """Return the names of all CAs that are not retired: those in use first, the root before the others."""
    found = [
        path.parent.relative_to(directory).as_posix()
        for place in ("", INCOMING, OUTGOING, LEAVING)
        for path in sorted((directory / place).glob(f"*/{CERTIFICATE}"))
    ]
    return sorted(found, key=lambda name: (phase(name) != "", base(name) != ROOT))


def generations(directory: Path, name: str, places: Sequence[str] = _TRUSTED) -> list[str]:
    """Return the names of the CAs called `name` that are there in these places, in their order."""
    found = [f"{place}/{name}" if place else name for place in places]
    return [each for each in found if (directory / each / CERTIFICATE).exists()]


def roots(directory: Path) -> list[x509.Certificate]:
    """Return the roots that are trusted, the one in use first."""
    return [load_certificate(directory / name / CERTIFICATE) for name in generations(directory, ROOT)]


def trusted(directory: Path, name: str) -> list[x509.Certificate]:
    """Return every certificate under a trusted root of the CAs called `name`, the one in use first.

    While a root is replaced these are two for each key. One under a root that is trusted no more is left out: a server
    that takes it for the issuer of a client finds no way up from there.
    """
    anchors = roots(directory)
    if name == ROOT:
        return anchors
    found: list[x509.Certificate] = []
    for each in generations(directory, name):
        paths = [directory / each / file for file in _CERTIFICATES]
        certificates = [load_certificate(path) for path in paths if path.exists()]
        found += [one for one in certificates if one not in found and any(issued_by(one, root) for root in anchors)]
    return found


def new_common_name(directory: Path, wanted: str) -> str:
    """Return `wanted`, or with G2, G3, … behind it when a CA of that name was made before.

    Two CAs of one name are told apart by their key identifiers only, which not every TLS library looks at.
    """
    certificates = [load_certificate(path) for path in directory.rglob(CERTIFICATE)]
    used = {names.common_name(certificate.subject) for certificate in certificates}
    name, number = wanted, 1
    while name in used:
        number += 1
        name = f"{wanted} G{number}"
    return name
