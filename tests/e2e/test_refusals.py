"""Everything that must not get in, knocking at the real listeners."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleetmint.x509 import keys, names
from fleetmint.x509.authority import Authority, self_signed
from virtual import demo
from virtual.esp32 import fleet

HEARD = "devices/#"


def mint(ca: Authority, unit: str, name: str, key) -> x509.Certificate:
    """Sign what somebody with the CA's key could sign."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(names.subject(ca.site, unit, name))
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(ca.key, hashes.SHA256())
    )


@pytest.fixture
def knock(site):
    """Say whether a client gets in at a listener, over MQTT or HTTPS."""

    def get_in(listener: str, client) -> bool:
        if listener.startswith("mqtt"):
            done = site.mosquitto("mosquitto_pub", listener, client, "-t", "x", "-m", "x", "-i", "knock")
            return done.returncode == 0
        return site.curl(listener, "/", client)[0] == 200

    return get_in


DEVICE_LISTENERS, OPERATOR_LISTENERS = ("mqtt", "https"), ("mqtt_operators", "operators")


@pytest.mark.parametrize("listener", DEVICE_LISTENERS + OPERATOR_LISTENERS)
def test_nobody_gets_in_without_a_certificate(knock, listener):
    assert not knock(listener, None)


@pytest.mark.parametrize("listener", DEVICE_LISTENERS + OPERATOR_LISTENERS)
def test_a_certificate_of_another_ca_does_not_get_in(site, knock, listener):
    now = datetime.now(UTC)
    other = self_signed("demo", "demo root", keys.new_key("P-384"), now)
    unit, name = ("devices", "lamp-000001") if listener in DEVICE_LISTENERS else ("operators", "alice@demo")
    key = keys.new_key()
    assert not knock(listener, site.client("stranger", key, mint(other, unit, name, key), other.certificate))


@pytest.mark.parametrize("listener", DEVICE_LISTENERS)
def test_a_device_gets_in_at_the_devices_listeners(site, knock, listener):
    assert knock(listener, site.stolen("lamp-000001"))


@pytest.mark.parametrize("listener", OPERATOR_LISTENERS)
def test_an_operator_gets_in_at_the_operators_listeners(site, knock, listener):
    assert knock(listener, site.operator())


@pytest.mark.parametrize("device", ["lamp-000001", "lamp-000003"])
@pytest.mark.parametrize("listener", OPERATOR_LISTENERS)
def test_a_device_does_not_get_in_at_an_operators_listener(site, knock, listener, device):
    assert not knock(listener, site.stolen(device))


@pytest.mark.parametrize("with_chain", [False, True], ids=["leaf", "chain"])
@pytest.mark.parametrize("ca", ["device-gateway", "factory"])
@pytest.mark.parametrize("unit", ["devices", "operators"])
@pytest.mark.parametrize("listener", OPERATOR_LISTENERS)
def test_a_leaf_of_a_device_ca_named_like_an_operator_does_not_get_in(site, knock, listener, unit, ca, with_chain):
    authority, key = site.hierarchy.authority(ca), keys.new_key()
    chain = [authority.certificate] if with_chain else []
    assert not knock(listener, site.client("forged", key, mint(authority, unit, "alice@demo", key), *chain))


@pytest.mark.parametrize("listener", DEVICE_LISTENERS)
def test_an_operator_does_not_get_in_at_a_devices_listener(site, knock, listener):
    assert not knock(listener, site.operator())


def test_a_certificate_that_the_ledger_does_not_know_gets_no_page(site):
    authority, key = site.hierarchy.authority("device-gateway"), keys.new_key()
    leaf = authority.issue("device", key.public_key(), "lamp-000001", now=datetime.now(UTC))
    assert site.curl("https", "/", site.client("minted", key, leaf))[0] in (401, 403)


def test_identity_headers_of_a_client_are_ignored(site):
    headers = []
    for name in ("FLEETMINT_VERIFY: SUCCESS", "FLEETMINT_LISTENER: operators", "X-SSL-Client-Verify: SUCCESS"):
        headers += ["--header", name]
    assert site.curl("https", "/", None, *headers)[0] == 401
    assert site.curl("https", "/v1/devices", site.stolen("lamp-000001"), *headers)[0] in (401, 403, 404)


def listen_while(site, topic: str, client, listener: str, action):
    """Return what a subscriber of `topic` hears while `action` runs."""
    with site.listening(listener, client, "-W", "5", "-t", topic, "-q", "1", "-F", "%t %p") as heard:
        action()
        # an action that ran after the listener had gone would show nothing
        assert heard.poll() is None
        return "".join(heard.stdout)


def publish(site, client, topic: str, text: str, listener: str = "mqtt"):
    site.publish(listener, client, topic, text)


@pytest.fixture
def lamp_1_is_away(site):
    """Switch a board off: with the client id forced to the certificate's name, thief and device end each other."""
    fleet.stop(fleet.slots(site.state)[site.board_of("lamp-000001") - 1])
    yield
    fleet.up(site.state, demo.BOARDS)


@pytest.mark.usefixtures("lamp_1_is_away")
def test_a_device_cannot_write_to_the_topics_of_another_one(site):
    thief = site.stolen("lamp-000001")

    def write():
        for topic in ("devices/lamp-000002/out/forged", "devices/lamp-000002/in/forged", "fleet/forged"):
            publish(site, thief, topic, "forged")
        publish(site, thief, "devices/lamp-000001/out/own", "own")

    heard = listen_while(site, HEARD, site.operator(), "mqtt_operators", write)
    assert "devices/lamp-000001/out/own own" in heard  # so the listener does hear
    assert "forged" not in heard


@pytest.mark.usefixtures("lamp_1_is_away")
def test_a_device_cannot_read_the_topics_of_another_one(site):
    def write():
        operator = site.operator("bench@demo")
        for device in ("lamp-000001", "lamp-000002"):
            publish(site, operator, f"devices/{device}/in/order", f"order-for-{device}", "mqtt_operators")

    for topic in ("devices/#", "#", "devices/+/in/order"):
        heard = listen_while(site, topic, site.stolen("lamp-000001"), "mqtt", write)
        assert "order-for-lamp-000002" not in heard
    heard = listen_while(site, "devices/lamp-000001/in/#", site.stolen("lamp-000001"), "mqtt", write)
    assert "order-for-lamp-000001" in heard


@pytest.fixture
def used(site):
    """The token of a device that has enrolled, and the key it enrolled with."""
    values = site.nvs(site.board_of("lamp-000001"))
    key = serialization.load_der_private_key(values[f"key{values['slot']}"], None)
    return site.batch_secrets()["lamp-000001"].token, key, values[f"cert{values['slot']}"]


def test_a_used_token_with_another_key_is_refused(site, used):
    status, body = site.enrol("lamp-000001", used[0], keys.new_key())
    assert status == 403
    assert json.loads(body)["error"] == "refused"
    # and the answer does not tell it from a token that never was
    assert site.enrol("lamp-000001", "0" * 32, keys.new_key()) == (status, body)


def test_a_used_token_with_the_same_key_gets_the_same_certificate_again(site, used):
    status, body = site.enrol("lamp-000001", used[0], used[1])
    assert status == 200
    assert base64.b64decode(json.loads(body)["certificate"]) == used[2]
    assert int(site.devices()["lamp-000001"]["serial"], 16) == int(json.loads(body)["serial"], 16)


def test_a_token_of_another_device_is_refused(site, used):
    assert site.enrol("lamp-000002", used[0], used[1])[0] == 403


def test_the_import_does_not_revive_a_used_token(site, used):
    done = site.playbook("factory.yml")
    assert done.returncode == 0
    assert site.enrol("lamp-000001", used[0], keys.new_key())[0] == 403


LONG = "a" * 7000
# as many bytes together as a mistaken client, or a careless proxy, sends
HEADERS = {
    "one line of 9,000": ["a" * 9000],
    "one line of 28,000": ["a" * 28_000],
    "three lines": [LONG] * 3,
    "16 KiB in small lines": ["a" * 1000] * 17,
    "28 KiB in small lines": ["a" * 1000] * 28,
}


@pytest.mark.parametrize("lines", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize(("listener", "path"), [("https", "/v1/enrol"), ("operators", "/v1/devices")])
def test_headers_that_are_too_large_are_told_so(site, listener, path, lines):
    arguments = [word for n, line in enumerate(lines) for word in ("--header", f"X-{n}: {line}")]
    status, body = site.curl(listener, path, site.operator() if listener == "operators" else None, *arguments)
    assert (status, json.loads(body)["error"]) == (431, "headers_too_large")


@pytest.mark.parametrize("size", [9_000, 33_000, 100_000])
@pytest.mark.parametrize("path", ["/?", "/v1/trust-bundle?", "/"])
@pytest.mark.parametrize("listener", ["https", "operators"])
def test_an_address_that_is_too_long_is_told_so(site, listener, path, size):
    assert site.curl(listener, path + "a" * size)[0] == 414


def test_what_is_long_and_allowed_reaches_the_service(site):
    # the longest address there may be, beside a header as long: the service answers, and not "later"
    assert site.curl("operators", f"/?{'a' * 8000}", site.operator(), "--header", f"X: {LONG}")[0] == 200
    assert site.curl("operators", f"/{'a' * 8000}", site.operator(), "--header", f"X: {LONG}")[0] == 404


@pytest.mark.parametrize(("listener", "path"), [("https", "/v1/enrol"), ("https", "/"), ("operators", "/v1/devices")])
def test_options_are_refused(site, listener, path):
    assert site.curl(listener, path, None, "--request", "OPTIONS")[0] == 405
