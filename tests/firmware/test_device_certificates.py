"""What each profile issues, in a TLS handshake with MicroPython (mbedTLS): servers it meets, identities it shows."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fleetmint.x509 import keys
from fleetmint.x509.authority import pem
from fleetmint.x509.profiles import PROFILES
from tests.support.firmware_site import Identity, issuing
from tests.support.gateway_double import http, reply, server_context, serving

pytestmark = pytest.mark.micropython

GET = """
import asyncio
from agent import https, stream
from agent.errors import Problem
certificate, key = [bytes.fromhex(part) for part in identity]
try:
    context = stream.context([bytes.fromhex(anchor)], certificate, key)
    reply = asyncio.run(https.request(context, "localhost", port, "GET", "/"))
    result([reply.status, ""])
except Problem as error:
    result([0, str(error)])
"""


@pytest.fixture
def meet(board, tmp_path):
    """Let MicroPython with a client's identity meet a server; return the status and whom the server saw."""

    def run(anchor, server: Identity, trusted, client: Identity):
        chain, key = server.files(tmp_path / "server")
        trust, seen = tmp_path / "trust.pem", []
        trust.write_bytes(pem(trusted))
        shown = [client.der.hex(), client.key_der.hex()]
        with serving(server_context(chain, key, trust), http(lambda request: reply("200 OK"), seen)) as port:
            trusted_there = anchor.public_bytes(Encoding.DER).hex()
            status, reason = board.run(GET, anchor=trusted_there, identity=shown, port=port)
        assert status == 200, reason
        return [request.client for request in seen]

    return run


@pytest.mark.parametrize("profile", ["server", "server-rsa"])
def test_micropython_takes_a_server_of_each_server_profile(meet, site, profile):
    key = keys.new_leaf_key(PROFILES[profile].key_kind)
    leaf = site.server_ca.issue(profile, key.public_key(), "localhost", now=site.made, sans=["localhost"])
    server = Identity(key, leaf, (site.server_ca.certificate,))
    device = site.device()
    assert meet(site.server_ca.certificate, server, site.device_ca.certificate, device) == ["pump-0001"]


@pytest.mark.parametrize("profile", ["device", "factory-device"])
def test_micropython_shows_an_identity_of_each_device_profile(meet, site, profile):
    authority, key = issuing(site.root, PROFILES[profile].issuer, site.made), keys.new_key()
    leaf = authority.issue(profile, key.public_key(), "pump-0001", now=site.made)
    seen = meet(site.server_ca.certificate, site.server("localhost"), authority.certificate, Identity(key, leaf))
    assert seen == ["pump-0001"]
