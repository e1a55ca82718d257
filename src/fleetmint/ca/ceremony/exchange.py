"""What travels between the controller and the machine of the root: files on a stick, each checked on arrival.

requests/NAME.csr      from the controller: PKCS #10 of the issuing CA called NAME, whole subject, no extensions
answers/NAME.crt       from the root: its certificate
answers/root.crt       the root's own certificate
answers/root-crl.pem   the root's CRL
"""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import files
from fleetmint.ca.identifier import CaId, Kind, Phase
from fleetmint.ca.store import common_name
from fleetmint.errors import NameRefusedError, StateError
from fleetmint.x509 import chain, compat, der, keys, kinds, names
from fleetmint.x509.authority import Authority, load_certificate
from fleetmint.x509.parsing import parsing
from fleetmint.x509.profiles import BACKDATE, PROFILES
from fleetmint.x509.request import refused_hash

REQUEST = ".csr"
ANSWER = ".crt"
ROOT_CERTIFICATE = "root.crt"
ROOT_CRL = "root-crl.pem"
MAX_BYTES = 8192
# Serials have 159 random bits; one this short was not made by us (CA/Browser Forum asks for 64 at least).
MIN_SERIAL_BITS = 128
# What the CN of a second or later CA of one name ends with.
_GENERATION = re.compile(r" G(?:[2-9]|[1-9][0-9])$")


def issuing_ca(name: str) -> CaId:
    """Return the issuing CA that a file of this name is about; raise NameRefusedError when there is no such CA."""
    with contextlib.suppress(NameRefusedError):
        ca = CaId.parse(name)
        if not ca.is_root and ca.phase is Phase.ACTIVE:
            return ca
    alone = ", ".join(kind for kind in Kind if kind not in (Kind.ROOT, Kind.DEVICE))
    raise NameRefusedError(f"{name!r} is no issuing CA: it has to be {alone} or device-GATEWAY")


@dataclass(frozen=True)
class Request:
    """What an issuing CA asks: to certify `key` under a CN that ends with G2, G3, … for a later CA of one name."""

    ca: CaId
    key: ec.EllipticCurvePublicKey
    common_name: str

    @property
    def title(self) -> str:
        """What people call it."""
        return self.ca.title + "".join(_GENERATION.findall(self.common_name))


def subject(site: str, ca: CaId, name: str) -> x509.Name:
    """Return the subject of an issuing CA with the CN `name`."""
    return names.subject(site, PROFILES[ca.profile].unit, name)


def build_request(site: str, ca: CaId, name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the request of an issuing CA that is to have the CN `name`, PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject(site, ca, name))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def read_request(path: Path, site: str) -> Request:
    """Return the request of an issuing CA of `site`, which the name of the file says.

    Raises StateError when it is damaged, of another site, or asks for anything but what that CA is.
    """
    ca, data = issuing_ca(path.stem), files.read(path, "request")
    wanted = PROFILES[ca.profile]
    try:
        if len(data) > MAX_BYTES or data.count(b"-----BEGIN") != 1:
            raise ValueError("not one request")
        with parsing():
            csr = x509.load_pem_x509_csr(data)
            said = der.request(csr.public_bytes(serialization.Encoding.DER))
            found, key, valid = csr.subject, csr.public_key(), csr.is_signature_valid
            extensions = list(csr.extensions)
    except ValueError as error:
        but = kinds.but(data, "a certificate request")
        raise _refused(path, f"it cannot be read as a certificate request{but}") from error
    refusal = refused_hash(said)
    if refusal is not None:
        raise _refused(path, refusal)
    if not valid:
        raise _refused(path, "it is not signed by its own key")
    name = names.common_name(found) or ""
    if found != subject(site, ca, name) or _GENERATION.sub("", name) != common_name(site, ca):
        raise _refused(path, f"it names {found.rfc4514_string()}, not the {ca.title} of {site}")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, keys.CURVES[wanted.key_kind]):
        raise _refused(path, f"its key is not EC on {wanted.key_kind}")
    if extensions:
        raise _refused(path, "it asks for extensions, which the profile alone decides")
    return Request(ca, key, name)


def check_answer(path: Path, site: str, request: Request, root: x509.Certificate) -> x509.Certificate:
    """Return the certificate in `path` if it is, to the bit, what the root had to sign for `request`.

    Raises StateError otherwise.
    """
    ca, key = request.ca, request.key
    found = load_certificate(path)
    if not chain.issued_by(found, root):
        raise _refused(path, f"it is not signed by the root of {site}")
    found_key = found.public_key()
    if not isinstance(found_key, ec.EllipticCurvePublicKey) or keys.spki(found_key) != keys.spki(key):
        raise _refused(path, f"it is for another key than that of the {ca.title} here")
    if found.serial_number.bit_length() < MIN_SERIAL_BITS:
        raise _refused(path, "its serial number is too short to be random")
    # The same certificate made here by a stand-in for the root, which differs in nothing but the signature.
    stand_in = Authority(root, keys.new_key(PROFILES["root"].key_kind))
    wanted = stand_in.issue(
        ca.profile,
        key,
        request.common_name,
        now=compat.not_before(found) + BACKDATE,
        serial=found.serial_number,
    )
    if found.tbs_certificate_bytes != wanted.tbs_certificate_bytes:
        raise _refused(path, f"it is not what the profile {ca.profile} says; have both machines the same version?")
    return found


def _refused(path: Path, why: str) -> StateError:
    return StateError(f"{path} is refused: {why}; nothing was taken over, so bring the right file and run this again")
