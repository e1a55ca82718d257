# From a token, from a certificate, or from one that has ended to a new one, for a key that never leaves the device.

import binascii
import hashlib
import json

from agent import csr, der, p256, steps
from agent.errors import Problem, Refused, Waiting

_LARGEST_CERTIFICATE = 2048
# Reasons for which no certificate will ever be had for a key.
UNUSABLE = ("damaged", "key_in_use", "key_retired", "weak_key", "new_key_needed")


async def _make_key():
    key = p256.generate()
    return csr.encode_key(key, await steps.shared(p256.public(key)))


def check(response):
    """Raise what a reply means: Refused, or Problem or Waiting with the time the gateway asks for."""
    status = response.status
    if status == 200:
        return
    text = f"the gateway answers {status}"
    code = _error_code(response.body)
    if code:
        text += f" ({code})"
    after = response.headers.get("retry-after", "")
    after = int(after) if after.isdigit() and len(after) < 6 else 0
    if status == 202:
        raise Waiting(text, after)
    if status in (408, 429) or status >= 500:
        raise Problem(text, after)
    raise Refused(text, after, status, code)


def _error_code(body):
    try:
        code = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return ""
    # The console shows a short code, not whatever a server likes to send.
    if isinstance(code, str) and len(code) <= 40 and all(c.isalpha() or c.isdigit() or c in "_-" for c in code):
        return code
    return ""


# The radio must be on for all three: key and signature need its randomness. Each returns the slot with the new
# identity and leaves the slot in use as it is; the caller proves the new one and activates it.
#
# `post(path, body)` is a coroutine that returns the reply to the JSON `body` when its status is 200, and raises what
# any other one means.


async def enrol(identity, mac, store, post):
    """Get a certificate with the one-time token; `mac` is the board's, which a token may be bound to."""
    body = {"device": identity.device_id, "token": identity.token(), "mac": mac}
    slot, key = await store.request_key(_make_key)
    return await _certify_new(store, slot, key, post, "/v1/enrol", body)


async def renew(store, slot, new_key, post):
    """Get a certificate by the one in `slot`, which `post` shows, for the same key or a new one."""
    if new_key:
        free, key = await store.request_key(_make_key, renewal=True)
        return await _certify_new(store, free, key, post, "/v1/renew", {})
    return store.keep_beside(slot, await _certify(store.load(slot)[1], post, "/v1/renew", {}))


async def recover(store, slot, post):
    """Get a certificate by the one in `slot`, which may have ended, for the same key; `post` shows none."""
    old, key = store.load(slot)
    return store.keep_beside(slot, await _certify(key, post, "/v1/recover", {"certificate": _base64(old)}))


async def _certify_new(store, slot, key, post, path, body):
    try:
        store.keep(slot, await _certify(key, post, path, body))
    except Refused as error:
        if error.code not in UNUSABLE:
            raise
        store.discard(slot)
        raise Problem(f"{error}; a new one is made")
    return slot


async def _certify(encoded, post, path, body):
    # The certificate that the gateway gives for a key.
    try:
        key, point = await steps.shared(csr.decode_key(encoded))
    except ValueError:
        raise Refused("the key in the NVS was damaged", code="damaged")
    body["csr"] = _base64(await steps.shared(csr.build(key, point)))
    try:
        reply = await post(path, json.dumps(body).encode())
    except Waiting as error:
        # What an operator sees beside the device's name.
        shown = binascii.hexlify(hashlib.sha256(csr.public_key(point)).digest()).decode()
        raise Waiting(f"waiting for approval of the key {shown[:16]}: {error}", error.retry_after)
    return _certificate(reply.body, point)


def _base64(data):
    return binascii.b2a_base64(data).decode().strip()


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
