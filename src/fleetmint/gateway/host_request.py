"""A host's own key, made where it is used, and the request with which the controller signs it."""

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from fleetmint import files
from fleetmint.errors import NameRefusedError
from fleetmint.x509 import keys
from fleetmint.x509.authority import digest_for

# A common name has at most 64 characters (RFC 5280, appendix A.1); labels as in RFC 1123, section 2.1.
_HOST = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


def make_request(key_path: Path, name: str, sans: Sequence[str], kind: str = "P-256") -> tuple[bytes, bool]:
    """Return a PEM request for `name` (host name or address) signed by the key at `key_path`, and whether that is new.

    A missing key is made, of this kind and 0600; one that is there is used and never replaced. Raises NameRefusedError
    for a name that is neither host name nor address, and StateError when the key cannot be read, used or written.
    """
    names = [_general_name(text) for text in sans]
    _general_name(name)
    new = not key_path.exists()
    if new:
        key = keys.new_leaf_key(kind)
        files.write_atomically(key_path, keys.plain_pem(key))
    else:
        key = keys.load_leaf_key(files.read(key_path, "key"), None, str(key_path))
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, digest_for(key)).public_bytes(serialization.Encoding.PEM), new


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        if not _HOST.fullmatch(text):
            raise NameRefusedError(f"{text!r} is neither a host name nor an IP address") from None
        return x509.DNSName(text)
