"""Other networks and another gateway over the session: tried, kept after a proof, or given up for what was before."""

import json

import pytest

from fleetmint.nvs import keys
from tests.support.firmware_agent import run, said, stored
from tests.support.firmware_site import DEVICE

pytestmark = pytest.mark.micropython

# A radio with access points in range: what is in `air` by name and passphrase.
AIR = """
class Air(Wlan):
    def __init__(self):
        self.code, self.tried = 1000, []
    def active(self, value=None):
        if value is False: self.code = 1000
    def connect(self, ssid, key):
        self.tried.append(ssid)
        said.append("radio " + ssid)
        self.code = 201 if ssid not in air else 1010 if air[ssid] == key else 202
    def isconnected(self): return self.code == 1010
    def status(self): return self.code
air = AIR
Board.wlan = Air()
"""
HOME = {"fleet": "correct horse", "new": "battery staple"}
ANSWERS = f"devices/{DEVICE}/out/fleetmint/settings"


def radio(air=HOME):
    return AIR.replace("AIR", repr(air))


def enrolled(site):
    made = site.device()
    return {"token": None, "slot": 0, "key0": made.key_der, "cert0": made.der}


def wifi(*networks, id="a1", **more):  # noqa: A002 - its name in the message
    rows = [{"ssid": ssid, "passphrase": passphrase} for ssid, passphrase in networks]
    return (f"devices/{DEVICE}/in/fleetmint/wifi", json.dumps({"id": id, "networks": rows, **more}).encode(), 1)


def moved(gateway, host="127.0.0.1", id="b1", **ports):  # noqa: A002
    there = {"gateway": host, "https_port": gateway.https_port, "mqtt_port": gateway.mqtt_port, **ports}
    return (f"devices/{DEVICE}/in/fleetmint/gateway", json.dumps({"id": id, **there}).encode(), 1)


def answers(gateway):
    return [json.loads(payload) for topic, payload in gateway.broker.messages if topic == ANSWERS]


def values(outcome):
    return {"token": None, **stored(outcome)}


def in_force(outcome):
    return json.loads(values(outcome).get(keys.SETTINGS, b"{}"))


def test_another_network_is_kept_after_a_proven_connection_and_joined_at_the_next_boot(board, gateway, site):
    gateway.broker.greeting = [wifi(("new", "battery staple"))]
    outcome = run(board, gateway, setup=radio(), enough=3, failures=3, **enrolled(site))
    assert answers(gateway)[0] == {"id": "a1", "state": "kept", "reason": "joined new"}
    assert in_force(outcome)["wifi"] == [["new", "battery staple"]]
    assert outcome["log"].count("settings") == 2  # the switch, and that the answer has arrived
    assert outcome["log"].index("candidate") < outcome["log"].index("settings")
    assert keys.CANDIDATE not in values(outcome)
    gateway.broker.greeting = []
    again = run(board, gateway, setup=radio(), **values(outcome))
    assert said(again, "radio") == ["radio new"]
    assert said(again, "published reading 1")
    # what the factory wrote is still there
    assert values(again)["wifi_ssid"] == b"fleet"


@pytest.mark.parametrize(
    ("network", "reason"),
    [(("new", "wrong passphrase"), "Wi-Fi new: wrong passphrase"), (("nowhere", "x" * 8), "no such network in range")],
)
def test_a_network_that_does_not_work_leaves_the_device_in_the_old_one(board, gateway, site, network, reason):
    gateway.broker.greeting = [wifi(network)]
    outcome = run(board, gateway, setup=radio(), enough=3, failures=3, **enrolled(site))
    (answer, *_) = answers(gateway)
    assert (answer["id"], answer["state"]) == ("a1", "failed")
    assert reason in answer["reason"]
    assert said(outcome, "radio")[-1] == "radio fleet"
    assert said(outcome, "published reading 3")
    assert "wifi" not in in_force(outcome)
    assert outcome["waits"] == []


def test_a_network_without_a_way_to_the_gateway_is_not_kept(board, gateway, site):
    # joined, and nothing answers: until the device is back in its own
    there = (
        radio()
        + """
import agent.gateway
ask = agent.gateway.Gateway.whoami
async def whoami(self, slot, anchors=None):
    if Board.wlan.tried[-1] == "new":
        raise agent.errors.Problem("no way to the gateway")
    return await ask(self, slot, anchors)
agent.gateway.Gateway.whoami = whoami
"""
    )
    gateway.broker.greeting = [wifi(("new", "battery staple"))]
    outcome = run(board, gateway, setup=there, enough=2, failures=3, **enrolled(site))
    assert answers(gateway)[0] == {"id": "a1", "state": "failed", "reason": "no way to the gateway"}
    assert said(outcome, "radio")[-1] == "radio fleet"


def test_networks_are_tried_in_the_order_of_their_priority(board, gateway, site):
    gateway.broker.greeting = [wifi(("attic", "x" * 8), ("new", "battery staple"), ("fleet", "correct horse"))]
    outcome = run(board, gateway, setup=radio(), enough=2, failures=3, **enrolled(site))
    assert answers(gateway)[0]["reason"] == "joined new"
    assert said(outcome, "radio") == ["radio fleet", "radio attic", "radio new"]


def test_a_device_goes_through_the_networks_that_the_factory_gave_it(board, gateway, site):
    several = json.dumps([["attic", "x" * 8], ["new", "battery staple"]]).encode()
    outcome = run(board, gateway, setup=radio(), wifi_list=several, wifi_ssid=None, wifi_psk=None, **enrolled(site))
    assert said(outcome, "radio") == ["radio attic", "radio new"]
    assert said(outcome, "published reading 1")


def test_what_the_device_has_already_is_not_tried(board, gateway, site):
    gateway.broker.greeting = [wifi(("fleet", "correct horse")), moved(gateway, "localhost")]
    outcome = run(board, gateway, setup=radio(), enough=3, **enrolled(site))
    assert {(each["id"], each["state"]) for each in answers(gateway)} <= {("a1", "already"), ("b1", "already")}
    assert answers(gateway)
    assert outcome["log"] == []
    assert len(said(outcome, "radio")) == 1


def test_a_message_that_comes_again_is_answered_and_changes_nothing(board, gateway, site):
    # the broker of this test says it in each session, as one does that was made to retain it
    gateway.broker.greeting = [wifi(("new", "battery staple"))]
    first = run(board, gateway, setup=radio(), enough=2, failures=3, **enrolled(site))
    gateway.broker.messages.clear()
    outcome = run(board, gateway, setup=radio(), enough=2, **values(first))
    assert answers(gateway)[0] == {"id": "a1", "state": "already", "reason": "joined new"}
    assert outcome["log"] == []


def test_an_answer_that_nobody_acknowledged_is_given_again_after_a_reboot(board, gateway, site):
    gateway.broker.greeting = [wifi(("new", "wrong passphrase"))]
    setup = (
        radio()
        + """
from agent.session import Session
out = Session._out
Session._out = lambda self, topic: 1 / 0 if "settings" in topic else out(self, topic)
"""
    )
    first = run(board, gateway, setup=setup, enough=9, failures=1, **enrolled(site))
    assert answers(gateway) == []
    gateway.broker.greeting = []
    second = run(board, gateway, setup=radio(), enough=2, **values(first))
    assert [each["state"] for each in answers(gateway)] == ["failed"]
    assert said(second, "radio") == ["radio fleet"]
    # and once only
    run(board, gateway, setup=radio(), enough=2, **values(second))
    assert len(answers(gateway)) == 1


def test_another_address_of_the_gateway_is_kept_after_a_proven_connection(board, gateway, site):
    gateway.broker.greeting = [moved(gateway)]
    outcome = run(board, gateway, setup=radio(), enough=3, failures=3, **enrolled(site))
    assert answers(gateway)[0] == {"id": "b1", "state": "kept", "reason": ""}
    assert in_force(outcome)["gateway"] == ["127.0.0.1", gateway.https_port, gateway.mqtt_port]
    gateway.broker.greeting = []
    gateway.requests.clear()
    run(board, gateway, setup=radio(), **values(outcome))
    assert {request.headers["host"] for request in gateway.requests} == {f"127.0.0.1:{gateway.https_port}"}


@pytest.mark.parametrize("wrong", ["nobody there", "another site", "another name", "no broker"])
def test_an_address_without_this_sites_gateway_is_not_kept(board, gateway, site, foreign_site, wrong, tmp_path):
    from tests.support.gateway_double import http, reply, server_context, serving

    if wrong == "nobody there":
        message = moved(gateway, "127.0.0.1", https_port=1)
    elif wrong == "no broker":
        message = moved(gateway, "127.0.0.1", mqtt_port=1)
    else:
        whose = foreign_site if wrong == "another site" else site
        chain, key = whose.server("localhost" if wrong == "another site" else "other.example").files(tmp_path / "x")
        server = serving(server_context(chain, key), http(lambda request: reply("200 OK", b"Hello"), []))
        there = server.__enter__()
        message = moved(gateway, "localhost", https_port=there)
    gateway.broker.greeting = [message]
    outcome = run(board, gateway, setup=radio(), enough=3, failures=3, **enrolled(site))
    (answer, *_) = answers(gateway)
    assert answer["state"] == "failed"
    assert answer["reason"]
    assert "unexpected" not in answer["reason"]
    assert "gateway" not in in_force(outcome)
    assert said(outcome, "published reading 3")
    if wrong not in ("nobody there", "no broker"):
        server.__exit__(None, None, None)


def test_a_device_whose_new_gateway_is_lost_for_long_looks_where_it_was_before(board, gateway, site):
    told = {"gateway": ["127.0.0.1", 1, 1], "before": ["localhost", gateway.https_port, gateway.mqtt_port]}
    changes = {**enrolled(site), "settings": json.dumps(told).encode()}
    outcome = run(board, gateway, setup=radio(), failures=15, **changes)
    assert said(outcome, "published reading 1")
    assert 6 <= len(outcome["waits"]) <= 12
    # it has not forgotten where it is to be
    assert in_force(outcome)["gateway"] == ["127.0.0.1", 1, 1]


def test_a_device_that_nobody_reaches_in_its_learned_networks_tries_those_of_the_factory(board, gateway, site):
    changes = {**enrolled(site), "settings": json.dumps({"wifi": [["gone", "x" * 8]]}).encode()}
    outcome = run(board, gateway, setup=radio(), failures=15, **changes)
    assert said(outcome, "published reading 1")
    assert said(outcome, "radio")[-1] == "radio fleet"
    assert len(said(outcome, "radio gone")) >= 6


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"networks": []}',
        b'{"id": 7, "networks": [{"ssid": "new", "passphrase": "battery staple"}]}',
        b'{"id": "c1", "networks": []}',
        b'{"id": "c1", "networks": [{"ssid": "", "passphrase": ""}]}',
        b'{"id": "c1", "networks": [{"ssid": "' + b"x" * 33 + b'", "passphrase": ""}]}',
        b'{"id": "c1", "networks": [{"ssid": "new", "passphrase": "' + b"x" * 65 + b'"}]}',
        b'{"id": "c1", "networks": [{"ssid": "new"}]}',
        b'{"id": "c1", "networks": "new"}',
        json.dumps({"id": "c1", "networks": [{"ssid": "new", "passphrase": "battery staple"}] * 5}).encode(),
    ],
)
def test_what_is_no_list_of_networks_changes_nothing(board, gateway, site, payload):
    gateway.broker.greeting = [(f"devices/{DEVICE}/in/fleetmint/wifi", payload, 1)]
    outcome = run(board, gateway, setup=radio(), enough=2, **enrolled(site))
    assert outcome["log"] == []
    assert said(outcome, "dropped settings for wifi that are none")
    assert all(each == {"id": "c1", "state": "failed", "reason": "not understood"} for each in answers(gateway))


@pytest.mark.parametrize(
    "changed",
    [
        {"gateway": ""},
        {"gateway": 7},
        {"gateway": "x" * 254},
        {"https_port": 0},
        {"mqtt_port": 65536},
        {"mqtt_port": "1"},
    ],
)
def test_what_is_no_address_changes_nothing(board, gateway, site, changed):
    topic, payload, qos = moved(gateway)
    gateway.broker.greeting = [(topic, json.dumps({**json.loads(payload), **changed}).encode(), qos)]
    outcome = run(board, gateway, setup=radio(), enough=2, **enrolled(site))
    assert outcome["log"] == []
    assert answers(gateway)[0] == {"id": "b1", "state": "failed", "reason": "not understood"}


def test_the_product_hears_nothing_of_it(board, gateway, site):
    gateway.broker.greeting = [
        wifi(("fleet", "correct horse")),
        (f"devices/{DEVICE}/in/fleetmint/else", b"x", 1),
        (f"devices/{DEVICE}/in/led", b"on", 1),
    ]
    outcome = run(board, gateway, setup=radio(), enough=2, **enrolled(site))
    assert said(outcome, "message") == ["message led on"]


def test_no_passphrase_is_said_or_answered(board, gateway, site):
    gateway.broker.greeting = [wifi(("new", "a wrong secret"))]
    outcome = run(board, gateway, setup=radio(), enough=3, failures=3, **enrolled(site))
    everything = json.dumps(outcome["said"]) + repr(gateway.broker.messages)
    assert "a wrong secret" not in everything
    assert "correct horse" not in everything


def test_a_reset_of_the_settings_keeps_who_the_device_is(board, gateway, site):
    told = {"wifi": [["new", "battery staple"]], "gateway": ["127.0.0.1", gateway.https_port, gateway.mqtt_port]}
    given = {**enrolled(site), "settings": json.dumps(told).encode()}
    setup = (
        radio()
        + """
start = device._say
def on_message(topic, payload):
    if Board.wlan.tried == ["new"]: device.reset_settings()
device._inbox._on_message = on_message
"""
    )
    gateway.broker.greeting = [(f"devices/{DEVICE}/in/reset", b"", 1)]
    outcome = run(board, gateway, setup=setup, enough=2, failures=2, **given)
    left = values(outcome)
    assert "settings" not in left
    assert {name: left[name] for name in given if name != "settings"} == {
        name: value for name, value in given.items() if name != "settings"
    }
    # at once, without a restart
    assert said(outcome, "radio")[:2] == ["radio new", "radio fleet"]
    assert gateway.requests[-1].headers["host"] == f"localhost:{gateway.https_port}"


def test_a_reset_of_the_settings_in_the_middle_of_a_trial_ends_the_trial(board, gateway, site):
    setup = (
        radio()
        + """
from agent.wifi import Wifi
join = Wifi.join
async def joining(self):
    await join(self)
    if Board.wlan.tried.count("new") == 1: device.reset_settings()
Wifi.join = joining
"""
    )
    gateway.broker.greeting = [wifi(("new", "battery staple"))]
    outcome = run(board, gateway, setup=setup, enough=1, failures=1, **enrolled(site))
    assert said(outcome, "published reading 1")
    assert said(outcome, "unexpected") == []
    # the broker of this test says it in each session: the second time nobody resets anything
    assert said(outcome, "radio")[:3] == ["radio fleet", "radio new", "radio fleet"]
    assert in_force(outcome)["wifi"] == [["new", "battery staple"]]


def test_a_reset_of_the_settings_reaches_a_device_that_does_not_find_its_gateway(board, gateway, site):
    told = {"wifi": [["new", "battery staple"]], "gateway": ["127.0.0.1", 1, 1]}
    setup = (
        radio()
        + """
async def pause(seconds):
    waits.append(seconds)
    if len(waits) == 1: device.reset_settings()
    if len(waits) >= failures: raise End
device._pause = pause
"""
    )
    changes = {**enrolled(site), "settings": json.dumps(told).encode()}
    outcome = run(board, gateway, setup=setup, failures=2, **changes)
    assert said(outcome, "published reading 1")
    assert said(outcome, "radio") == ["radio new", "radio fleet"]
