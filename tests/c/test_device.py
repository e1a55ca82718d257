"""A whole device in C, from the image that the factory made for it, at the double of a gateway.

As an ESP8266 has it: BearSSL, and files in a LittleFS; and as an ESP32: mbedTLS, and an encrypted NVS.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization

from fleetmint import __version__
from fleetmint.x509 import keys
from tests.support import c_esp32, c_esp8266
from tests.support.c_build import CORE
from tests.support.c_device import running
from tests.support.firmware_gateway import gateway_of
from tests.support.firmware_site import DEVICE, Identity, make_site
from tests.support.gateway_double import reply

DAY, YEAR = timedelta(days=1), timedelta(days=365)
STATUS = f"devices/{DEVICE}/out/status"


@pytest.fixture(scope="session", params=[c_esp8266, c_esp32], ids=["esp8266", "esp32"])
def kind(request):
    return request.param


@pytest.fixture(scope="session")
def program(build, kind):
    return kind.device_program(build)


@pytest.fixture(scope="session")
def site():
    return make_site(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def gateway(site, tmp_path):
    with gateway_of(site, tmp_path / "gateway") as made:
        yield made


@pytest.fixture
def burned(kind, gateway, tmp_path):
    """Write the flash of a device of this gateway."""
    return lambda **changes: kind.device(tmp_path / "flash", gateway.nvs(**changes))


@pytest.fixture
def enrolled(site, burned):
    """The flash of a device with a key and a certificate of the factory, and that identity."""
    identity = site.device()
    board = burned(token=None, slot=0, key0=identity.key_der, cert0=identity.der)
    return board, identity


def since_2000(moment):
    return int((moment - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds())


def spki(key):
    return hashlib.sha256(keys.spki(serialization.load_der_private_key(key, None).public_key())).digest()


def test_a_new_device_enrols_and_works(program, gateway, burned):
    board = burned()
    with running(program, board) as device:
        device.wait_for("published readings")
        device.stop()
    stored = board.values()
    assert gateway.enrolled == [spki(stored["key0"])]
    assert (stored["slot"], stored["cert0"], "token" in stored) == (b"0", *gateway.issued.values(), False)
    assert gateway.broker.sessions == [(DEVICE, DEVICE)]
    topic, payload = gateway.broker.messages[0]
    assert (topic, json.loads(payload)) == (
        f"devices/{DEVICE}/out/readings", {"temperature": 21, "n": 1, "uptime": 0}
    )  # fmt: skip


def test_presence_is_that_of_every_device(program, gateway, enrolled):
    with running(program, enrolled[0]) as device:
        device.wait_for("published readings")
        device.stop()
    assert gateway.broker.wills == [(STATUS, b'{"online": false}')]
    (first, online), away = gateway.broker.retained
    assert (first, away) == (STATUS, (STATUS, b'{"online": false}'))
    told = json.loads(online)
    assert (told["online"], told["firmware"], told["reset"], told["lost"]) == (True, "7", "power on", 0)
    assert gateway.broker.farewells == 1


def test_no_turn_of_an_open_session_takes_long(program, enrolled):
    with running(program, enrolled[0], every=20) as device:
        for _ in range(20):
            device.wait_for("published readings")
        *_, said = device.stop()
    # under the sanitizers, which make it several times slower
    assert 0 < int(said.split()[-2]) < 10_000, said


def test_a_device_with_a_key_of_the_factory_asks_for_none(program, gateway, enrolled):
    with running(program, enrolled[0]) as device:
        device.wait_for("published readings")
    assert [request.line.split()[1] for request in gateway.requests] == ["/v1/whoami"]
    assert gateway.requests[0].client == DEVICE


def test_what_is_sent_to_the_device_comes_to_the_product_and_settings_do_not(program, gateway, enrolled):
    told = json.dumps({"id": "q1", "networks": []}).encode()
    gateway.broker.greeting = [
        (f"devices/{DEVICE}/in/fleetmint/wifi", told, 1), (f"devices/{DEVICE}/in/door", b"open", 1)
    ]  # fmt: skip
    with running(program, enrolled[0]) as device:
        assert device.wait_for("message ") == "message door open"
        gateway.broker.wait(lambda: any(topic.endswith("fleetmint/settings") for topic, _ in gateway.broker.messages))
    answer = next(payload for topic, payload in gateway.broker.messages if topic.endswith("fleetmint/settings"))
    assert (json.loads(answer)["id"], json.loads(answer)["state"]) == ("q1", "failed")


def test_an_answer_that_got_lost_is_asked_for_again_with_the_same_key(program, gateway, burned):
    gateway.loses = 1
    with running(program, burned()) as device:
        device.wait_for("published readings", 60)
    assert len(gateway.enrolled) == 2
    assert len(set(gateway.enrolled)) == 1


def test_a_device_that_has_to_be_approved_asks_again_with_the_same_key_and_says_which(program, gateway, burned):
    pending = reply("202 Accepted", b'{"error": "approval_pending"}', "Retry-After: 1")
    gateway.answers["/v1/enrol"] = pending
    board = burned()
    with running(program, board) as device:
        for _ in range(4):
            assert device.wait_for("waiting for approval of the key ").endswith(spki(board.values()["key0"]).hex()[:16])
            assert "the gateway answers 202 (approval_pending); trying again in" in device.wait_for("answers 202")
        del gateway.answers["/v1/enrol"]
        device.wait_for("published readings")
        # it has been in the network all the time
        assert [line for line in device.console if "joined Wi-Fi" in line][1:] == []
    asked = [json.loads(request.body) for request in gateway.requests if request.body]
    assert {each["mac"] for each in asked} == {"24:0a:c4:00:00:07"}
    assert gateway.enrolled == [spki(board.values()["key0"])]


@pytest.mark.parametrize("new_key", [False, True])
def test_an_identity_that_is_due_is_renewed(program, gateway, enrolled, new_key):
    board, identity = enrolled
    gateway.succession.renew.add(identity.der)
    gateway.succession.new_key = new_key
    with running(program, board) as device:
        device.wait_for("renewed, certificate in slot 1")
        device.wait_for("published readings")
    stored = board.values()
    assert stored["slot"] == b"1"
    assert stored["cert1"] in gateway.succession.confirmed
    assert (stored["key1"] == identity.key_der) is not new_key


def test_an_identity_that_is_not_accepted_any_more_is_recovered(program, gateway, enrolled):
    board, identity = enrolled
    gateway.succession.refused.add(identity.der)
    with running(program, board) as device:
        device.wait_for("identity in slot 0 is not accepted: the gateway answers 401")
        device.wait_for("recovered, certificate in slot 1")
        device.wait_for("published readings")
    assert board.values()["key1"] == identity.key_der


def test_an_identity_that_becomes_due_is_renewed_between_two_sessions(program, gateway, site, burned):
    # what is left of it gives the bounds of the share by which a device is later than it need be
    key = keys.new_key()
    begins = datetime.now(UTC).replace(microsecond=0) - DAY + timedelta(seconds=40)
    leaf = site.device_ca.issue("device", key.public_key(), DEVICE, now=begins, lifetime=DAY)
    identity = Identity(key, leaf)
    board = burned(token=None, slot=0, key0=identity.key_der, cert0=identity.der)
    gateway.succession.renew_in = timedelta(seconds=3)
    with running(program, board) as device:
        device.wait_for("published readings")
        gateway.succession.renew.add(identity.der)
        gateway.succession.renew_in = timedelta(days=200)
        device.wait_for("renewed, certificate in slot 1")
        device.wait_for("published readings")
    assert len(gateway.broker.sessions) == 2
    # the broker has not told anybody that the device was gone
    assert gateway.broker.farewells == 1
    assert all(json.loads(payload)["online"] for _, payload in gateway.broker.retained)


def test_a_revoked_device_waits_and_changes_nothing(program, gateway, enrolled):
    board, identity = enrolled
    gateway.succession.refused.add(identity.der)
    gateway.succession.recoverable = False
    before = board.values()
    with running(program, board) as device:
        device.wait_for("no recovery: the gateway answers 403 (refused)")
        device.wait_for("the gateway answers 401; trying again in ")
    assert board.values() == before
    assert gateway.broker.sessions == []


def test_a_token_that_is_refused_is_kept_for_later(program, burned):
    board = burned(token=b"f" * 32)
    with running(program, board) as device:
        device.wait_for("the gateway answers 403 (refused); trying again in ")
    assert board.values()["token"] == b"f" * 32


def test_a_newer_trust_bundle_of_the_release_key_is_taken(program, gateway, site, enrolled):
    offered = gateway.offer(site.bundle(2))
    with running(program, enrolled[0]) as device:
        device.wait_for("trust bundle 0.2 in use, it replaces 0.1")
        device.wait_for("published readings")
    assert enrolled[0].values()["bundle"] == offered


def test_the_spare_names_another_release_key(program, gateway, site, enrolled):
    key = keys.new_key()
    offered = gateway.offer(site.bundle(1, keys=site.new_keys(key, site.spare), key=key))
    with running(program, enrolled[0]) as device:
        device.wait_for("trust bundle 1.1 in use, it replaces 0.1")
    assert enrolled[0].values()["bundle"] == offered


REFUSED = {
    "it is not signed by the release key": lambda site: site.bundle(2, key=site.spare),
    "it is of another site": lambda site: site.bundle(2, site="other"),
    "its release keys are not named by the spare": lambda site: site.bundle(
        1, keys=site.new_keys(site.spare, site.release_key), key=site.spare
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_bundle_of_somebody_else_is_refused(program, gateway, site, enrolled, reason):
    before = enrolled[0].values()["bundle"]
    gateway.offer(REFUSED[reason](site))
    with running(program, enrolled[0]) as device:
        device.wait_for(f"trust bundle refused: {reason}")
        device.wait_for("published readings")
    assert enrolled[0].values()["bundle"] == before


def test_a_bundle_under_which_the_gateway_does_not_stand_is_not_taken_yet(program, gateway, site, enrolled):
    before = enrolled[0].values()["bundle"]
    gateway.offer(site.bundle(2, anchors=site.anchors[:1]))
    with running(program, enrolled[0]) as device:
        device.wait_for("trust bundle 0.2 not used yet, the gateway does not stand under it: the gateway's certificate")
        device.wait_for("published readings")
    assert enrolled[0].values()["bundle"] == before


def test_rubbish_and_an_older_bundle_are_refused(program, gateway, site, enrolled):
    gateway.bundle, gateway.label = b"rubbish", "0.9"
    with running(program, enrolled[0]) as device:
        device.wait_for("trust bundle refused: it is no trust bundle")
        device.wait_for("published readings")
    gateway.offer(site.bundle(2), "0.0")
    with running(program, enrolled[0]) as device:
        device.wait_for("trust bundle refused: 0.0 is not newer than 0.1")
        device.wait_for("published readings")


def test_a_broker_that_does_not_want_the_device_is_not_pressed(program, gateway, enrolled):
    gateway.broker.return_code = 5
    with running(program, enrolled[0]) as device:
        device.wait_for("the broker refuses the session: 5")
        line = device.wait_for("trying again in ")
    assert int(line.split()[-2]) >= 15


def test_what_the_broker_did_not_acknowledge_is_sent_again(program, gateway, enrolled):
    gateway.broker.drop_at = 1
    with running(program, enrolled[0]) as device:
        device.wait_for("trying again in ")
        device.wait_for("published readings", 60)
    first, second = gateway.broker.messages[:2]
    assert json.loads(first[1])["n"] == json.loads(second[1])["n"] == 1


def test_a_gateway_of_another_site_is_not_talked_to(kind, program, gateway, site, enrolled, tmp_path):
    with gateway_of(make_site(site.made), tmp_path / "thief") as thief:
        changes = {"https_port": thief.https_port, "mqtt_port": thief.mqtt_port}
        board = kind.device(tmp_path / "stolen", gateway.nvs(**changes))
        with running(program, board) as device:
            device.wait_for("the gateway's certificate is of no CA that is trusted; trying again in ")
        assert thief.requests == []
    assert board.values()["token"]


def test_a_gateway_of_another_name_is_not_talked_to(program, gateway, burned):
    # the resolver knows what address that is; to the device it is a name
    with running(program, burned(gateway=b"127.1")) as device:
        device.wait_for("the gateway's certificate is for another name; trying again in ")
    assert gateway.requests == []


@pytest.mark.parametrize("now", ["0", "-946684800"], ids=["2000", "1970"])
def test_a_clock_that_nobody_has_set_is_no_hindrance(program, enrolled, now):
    with running(program, enrolled[0], now=now) as device:
        device.wait_for("published readings")


def test_a_clock_at_which_no_certificate_is_valid_is_put_back_to_the_floor(program, site, enrolled):
    with running(program, enrolled[0], now=since_2000(site.made + 3 * YEAR)) as device:
        device.wait_for("the clock may be wrong, working from the clock floor")
        device.wait_for("the gateway's certificate is not valid at this time; trying again in ")
        device.wait_for("published readings", 60)


def test_a_device_that_lacks_a_value_says_which_and_ends(program, burned):
    for key in ("gateway", "https_port", "bundle", "clock_floor", "device_id"):
        with running(program, burned(**{key: None})) as device:
            assert device.ended() == 0
        assert f"stopped: the store has no usable {key}: burn this device again" in device.console[-2]


def test_another_network_is_not_joined(program, burned):
    with running(program, burned(), ssid="fleet", passphrase="wrong") as device:  # noqa: S106
        device.wait_for("Wi-Fi fleet: the passphrase may be wrong")
        device.wait_for("no network: ")


def test_nothing_secret_is_on_the_console(program, gateway, burned):
    board = burned()
    with running(program, board) as device:
        device.wait_for("published readings")
        said = "\n".join([*device.console, *device.stop()])
    for secret in (gateway.nvs()["token"], gateway.nvs()["wifi_psk"]):
        assert secret.decode() not in said
    assert board.values()["key0"].hex() not in said


@pytest.mark.parametrize("torn", [False, True])
def test_whenever_the_power_goes_the_device_comes_back(program, gateway, burned, torn):
    """From the first start to a session, cut at each write to the flash in turn."""
    board = burned()
    new, cut = board.flash.read_bytes(), 0
    options = {"torn": 1} if torn else {}
    done = False
    while not done:
        cut += 1
        board.flash.write_bytes(new)
        gateway.issued.clear()
        gateway.succession.__init__(gateway.site)
        with running(program, board, dies=cut, **options) as device:
            done = device.lives_until("published readings")
        with running(program, board) as device:
            device.wait_for("published readings", 60)
        stored = board.values()
        assert stored[f"cert{int(stored['slot'])}"] in gateway.issued.values()
    assert cut > 4


def test_the_core_has_the_version_of_fleetmint():
    assert f'#define FM_VERSION "{__version__}"' in (CORE / "include/fleetmint/version.h").read_text()
