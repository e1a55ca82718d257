"""What travels between the controller and the machine of the root: files on a stick, each checked on arrival.

requests/NAME.csr      from the controller: PKCS #10 of the issuing CA called NAME, whole subject, no extensions
answers/NAME.crt       from the root: its certificate
answers/root.crt       the root's own certificate
answers/root-crl.pem   the root's CRL
"""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetmint import files
from fleetmint.ca.hierarchy import PROFILE_OF, title
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


def profile_of(name: str) -> str:
    """Return the profile of the issuing CA called `name`; raise NameRefusedError when there is no such CA."""
    if name in PROFILE_OF:
        return PROFILE_OF[name]
    if name.startswith("device-"):
        names.device_id(name.removeprefix("device-"))
        return "device-ca"
    raise NameRefusedError(f"{name!r} is no issuing CA: it has to be {', '.join(PROFILE_OF)} or device-GATEWAY")


def subject(site: str, name: str) -> x509.Name:
    """Return the subject of the issuing CA called `name`."""
    return names.subject(site, PROFILES[profile_of(name)].unit, f"{site} {title(name)}")


def build_request(site: str, name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the request of the issuing CA called `name`, PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject(site, name))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def read_request(path: Path, site: str) -> ec.EllipticCurvePublicKey:
    """Return the public key of the request of an issuing CA of `site`, which the name of the file says.

    Raises StateError when it is damaged, of another site, or asks for anything but what that CA is.
    """
    name, data = path.stem, files.read(path, "request")
    wanted = PROFILES[profile_of(name)]
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
    if found != subject(site, name):
        raise _refused(path, f"it names {found.rfc4514_string()}, not the {title(name)} of {site}")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, keys.CURVES[wanted.key_kind]):
        raise _refused(path, f"its key is not EC on {wanted.key_kind}")
    if extensions:
        raise _refused(path, "it asks for extensions, which the profile alone decides")
    return key


def check_answer(path: Path, site: str, root: x509.Certificate, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
    """Return the certificate in `path` if it is, to the bit, what the root had to sign for `key`; raise StateError.

    The name of the file says which issuing CA it is for.
    """
    name = path.stem
    found = load_certificate(path)
    if not chain.issued_by(found, root):
        raise _refused(path, f"it is not signed by the root of {site}")
    found_key = found.public_key()
    if not isinstance(found_key, ec.EllipticCurvePublicKey) or keys.spki(found_key) != keys.spki(key):
        raise _refused(path, f"it is for another key than that of the {title(name)} here")
    if found.serial_number.bit_length() < MIN_SERIAL_BITS:
        raise _refused(path, "its serial number is too short to be random")
    # The same certificate made here by a stand-in for the root, which differs in nothing but the signature.
    stand_in = Authority(root, keys.new_key(PROFILES["root"].key_kind))
    wanted = stand_in.issue(
        profile_of(name),
        key,
        f"{site} {title(name)}",
        now=compat.not_before(found) + BACKDATE,
        serial=found.serial_number,
    )
    if found.tbs_certificate_bytes != wanted.tbs_certificate_bytes:
        raise _refused(
            path, f"it is not what the profile {profile_of(name)} says; have both machines the same version?"
        )
    return found


def _refused(path: Path, why: str) -> StateError:
    return StateError(f"{path} is refused: {why}; nothing was taken over, so bring the right file and run this again")
