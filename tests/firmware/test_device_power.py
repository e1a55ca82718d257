"""Whatever write the power goes at, and whatever answer is lost: the device comes back as itself."""

import json

import pytest

from tests.support.firmware_agent import said
from tests.support.firmware_power import lost_answers, power_cuts
from tests.support.firmware_site import DEVICE

pytestmark = pytest.mark.micropython


def check(interrupted):
    """Hold that the device works again by the next boot, and that nothing is left to do for the one after."""
    case = interrupted
    assert said(case.after, "published reading 1"), (case.where, case.after["said"])
    assert said(case.last, "published reading 1"), (case.where, case.last["said"])
    assert case.last["log"] == [], case.where
    assert {name for names in case.gateway.broker.sessions for name in names} == {DEVICE}, case.where


def test_enrolment_survives_a_power_cut_at_every_write_with_one_token(board, site, tmp_path):
    cuts = list(power_cuts(board, site, tmp_path, lambda gateway: {}))
    for cut in cuts:
        check(cut)
        # however often it asked, it was for one key
        assert len(set(cut.gateway.enrolled)) == 1, cut.where
        assert "token" not in cut.last["stored"]
    assert len(cuts) == 2 * len(["key0", "cert0", "slot", "token"])


def test_enrolment_survives_the_loss_of_any_answer_with_one_token(board, site, tmp_path):
    losses = list(lost_answers(board, site, tmp_path, lambda gateway: {}))
    for loss in losses:
        check(loss)
        assert len(set(loss.gateway.enrolled)) == 1, loss.where
    assert len(losses) == 2


def test_a_change_of_the_trust_bundle_survives_a_power_cut_at_every_write(board, site, tmp_path):
    made = site.device()
    newer = site.bundle(6)

    def prepare(gateway):
        gateway.offer(newer)
        return {"token": None, "slot": 0, "key0": made.key_der, "cert0": made.der, "bundle": site.bundle(5).encode()}

    cuts = list(power_cuts(board, site, tmp_path, prepare))
    for cut in cuts:
        check(cut)
        assert cut.last["stored"]["bundle"] == newer.encode().hex()
    assert len(cuts) == 2


def told(topic, **message):
    return (f"devices/{DEVICE}/in/fleetmint/{topic}", json.dumps({"id": "a1", **message}).encode(), 1)


def answers(gateway):
    found = [json.loads(payload) for topic, payload in gateway.broker.messages if topic.endswith("/fleetmint/settings")]
    return [each["state"] for each in found]


@pytest.mark.parametrize("works", [True, False], ids=["kept", "failed"])
@pytest.mark.parametrize("topic", ["wifi", "gateway"])
def test_a_change_of_networks_or_gateway_survives_a_power_cut_at_every_write(board, site, tmp_path, topic, works):
    made = site.device()

    def prepare(gateway):
        if topic == "wifi":
            # a radio joins whatever has a name here
            rows = [{"ssid": "new" if works else "gone", "passphrase": "battery staple"}]
            gateway.broker.greeting = [told("wifi", networks=rows)]
        else:
            port = gateway.https_port if works else 1
            there = {"gateway": "127.0.0.1", "https_port": port, "mqtt_port": gateway.mqtt_port}
            gateway.broker.greeting = [told("gateway", **there)]
        return {"token": None, "slot": 0, "key0": made.key_der, "cert0": made.der}

    radio = """
def connect(self, ssid, key): self.joined = ssid != "gone"
def active(self, value=None):
    if value is False: self.joined = False
Wlan.connect, Wlan.active, Wlan.status = connect, active, lambda self: 1010 if self.joined else 201
"""
    cuts = list(power_cuts(board, site, tmp_path, prepare, setup=radio, enough=3, failures=9))
    for cut in cuts:
        for outcome in (cut.after, cut.last):
            assert said(outcome, "published reading 1"), (cut.where, outcome["said"])
        assert "candidate" not in cut.after["stored"], cut.where
        assert "candidate" not in cut.last["stored"], cut.where
        # whatever became of it, the station was told, and the two say the same
        settings = json.loads(bytes.fromhex(cut.last["stored"]["settings"]))
        said_last = answers(cut.gateway)
        assert said_last, cut.where
        assert (topic in settings) == (settings["state"] == "kept"), cut.where
        assert settings["untold"] is False, cut.where
        assert said_last[0] == settings["state"], cut.where
        if not works:
            assert topic not in settings, cut.where
    # the candidate, the switch with the answer, the end of the candidate, and that the answer has arrived
    assert len(cuts) == 2 * 4


@pytest.fixture
def identity(site):
    return site.device()


# Which way the device goes to its next identity, and the writes that this takes.
KEPT = ["slot", "cert1", "key1", "slot"]
NEW = ["slot", "key1", "cert1", "slot"]


def renewing(identity, *, new_key=False, **beside):
    """Set up a gateway that wants this identity renewed; `beside` is what the other slot holds."""

    def prepare(gateway):
        gateway.succession.renew = {identity.der}
        gateway.succession.new_key = new_key
        return {"token": None, "slot": 0, "key0": identity.key_der, "cert0": identity.der, **beside}

    return prepare


def recovering(identity):
    """Set up a gateway to which this identity has ended."""

    def prepare(gateway):
        gateway.succession.refused = {identity.der}
        return {"token": None, "slot": 0, "key0": identity.key_der, "cert0": identity.der}

    return prepare


def check_succession(interrupted, identity):
    """Hold that the device has ended up with the one successor of its identity, and nothing else was made."""
    check(interrupted)
    stored, succession = interrupted.last["stored"], interrupted.gateway.succession
    (successor,) = succession.successors.values()
    assert stored["slot"] in (0, 1), interrupted.where
    assert stored[f"cert{stored['slot']}"] == successor.hex(), interrupted.where
    assert list(succession.successors) == [identity.der]
    assert interrupted.gateway.enrolled == []


@pytest.mark.parametrize("new_key", [False, True])
def test_a_renewal_survives_a_power_cut_at_every_write(board, site, tmp_path, identity, new_key):
    cuts = list(power_cuts(board, site, tmp_path, renewing(identity, new_key=new_key)))
    for cut in cuts:
        check_succession(cut, identity)
    assert len(cuts) == 2 * len(NEW if new_key else KEPT)


@pytest.mark.parametrize("new_key", [False, True])
def test_a_renewal_over_the_identity_of_the_year_before_survives_a_power_cut_at_every_write(
    board, site, tmp_path, identity, new_key
):
    older = site.device()
    prepare = renewing(identity, new_key=new_key, key1=older.key_der, cert1=older.der)
    cuts = list(power_cuts(board, site, tmp_path, prepare))
    for cut in cuts:
        check_succession(cut, identity)
        # what is older is never shown to the gateway: to it that would be a copy of this device
        assert older.der not in {request.certificate for request in cut.gateway.requests}
    assert len(cuts) == 2 * len(["key1", "cert1", *KEPT])


def test_a_recovery_survives_a_power_cut_at_every_write(board, site, tmp_path, identity):
    cuts = list(power_cuts(board, site, tmp_path, recovering(identity)))
    for cut in cuts:
        check_succession(cut, identity)
    assert len(cuts) == 2 * len(KEPT)


AT_ONCE = """
import agent.credentials
agent.credentials._FIRST_RETRY = 0
"""


@pytest.mark.parametrize("new_key", [False, True])
def test_a_renewal_survives_the_loss_of_any_answer(board, site, tmp_path, identity, new_key):
    prepare = renewing(identity, new_key=new_key)
    losses = list(lost_answers(board, site, tmp_path, prepare, setup=AT_ONCE, failures=2, enough=4))
    for loss in losses:
        check_succession(loss, identity)
    # whoami, renew, and whoami with the new identity
    assert len(losses) >= 3


def test_a_recovery_survives_the_loss_of_any_answer(board, site, tmp_path, identity):
    losses = list(lost_answers(board, site, tmp_path, recovering(identity), failures=2))
    for loss in losses:
        check_succession(loss, identity)
    assert len(losses) == 3
