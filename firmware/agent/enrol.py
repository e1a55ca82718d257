# Enrolment: from a one-time token to a certificate for a key that never leaves the device.

import binascii
import json

from agent import csr, der, https, p256, steps
from agent.errors import Problem, Refused

_LARGEST_CERTIFICATE = 2048


async def _make_key():
    key = p256.generate()
    point = await steps.shared(p256.public(key))
    return csr.encode_key(key, point)


def check(response):
    """Raise what a reply means: Refused, or Problem with the time the gateway asks for."""
    status = response.status
    if status == 200:
        return
    text = f"the gateway answers {status}"
    code = _error_code(response.body)
    if code:
        text += f" ({code})"
    after = response.headers.get("retry-after", "")
    after = int(after) if after.isdigit() and len(after) < 6 else 0
    if status in (408, 429) or status >= 500:
        raise Problem(text, after)
    raise Refused(text, after)


def _error_code(body):
    try:
        code = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return ""
    # The console shows a short code, not whatever a server likes to send.
    if isinstance(code, str) and len(code) <= 40 and all(c.isalpha() or c.isdigit() or c in "_-" for c in code):
        return code
    return ""


async def enrol(identity, store, context):
    """Get a certificate for the key in the free slot and store it there; returns the slot.

    The radio must be on: key and signature need its randomness. The slot in use stays as it is, the caller proves
    the new identity and activates it.
    """
    token = identity.token()
    slot, encoded = await store.request_key(_make_key)
    try:
        key, point = await steps.shared(csr.decode_key(encoded))
    except ValueError:
        store.discard(slot)
        raise Problem("the key in the NVS was damaged; a new one is made")
    request = await steps.shared(csr.build(key, point))
    request = binascii.b2a_base64(request).decode().strip()
    body = json.dumps({"device": identity.device_id, "token": token, "csr": request}).encode()
    response = await https.request(context, identity.gateway, identity.https_port, "POST", "/v1/enrol", body)
    check(response)
    store.keep(slot, _certificate(response.body, point))
    return slot


def _certificate(body, point):
    try:
        certificate = binascii.a2b_base64(json.loads(body)["certificate"])
        tag, _, end = der.header(certificate)
    except (ValueError, KeyError, TypeError):
        raise Problem("the gateway's reply holds no certificate")
    if tag != der.SEQUENCE or end != len(certificate) or end > _LARGEST_CERTIFICATE:
        raise Problem("the gateway's reply holds no certificate")
    # mbedTLS loads a certificate with a foreign key without a word and fails in the handshake.
    if point not in certificate:
        raise Problem("the gateway's certificate is for another key")
    return certificate
