"""The server CAs of a trust bundle as a file that every TLS library takes for trust anchors.

OpenSSL, and with it Python, paho and mosquitto's clients, takes no certificate below a root for an anchor, unless a
program asks for that (X509_V_FLAG_PARTIAL_CHAIN) or the certificate says itself what it is trusted for. So each anchor
stands in the file twice: first as OpenSSL's TRUSTED CERTIFICATE, good for servers and nothing else, which other
libraries skip; then as an ordinary certificate, which OpenSSL skips because it has it.

The form is a certificate with an X509_CERT_AUX behind it (openssl-x509(1), -addtrust and -trustout).
"""

import base64
import textwrap
from collections.abc import Sequence

_SERVER_AUTH = bytes.fromhex("06082b06010505070301")


def _sequence(content: bytes) -> bytes:
    return bytes((0x30, len(content))) + content


_FOR_SERVERS = _sequence(_sequence(_SERVER_AUTH))


def pem(anchors: Sequence[bytes]) -> bytes:
    """Return DER certificates as a file of trust anchors, PEM."""
    trusted = [_block("TRUSTED CERTIFICATE", anchor + _FOR_SERVERS) for anchor in anchors]
    return "".join([*trusted, *(_block("CERTIFICATE", anchor) for anchor in anchors)]).encode()


def _block(label: str, content: bytes) -> str:
    lines = textwrap.wrap(base64.b64encode(content).decode(), 64)
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
