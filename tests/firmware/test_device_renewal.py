"""How a device comes to its next identity by itself: renewal, recovery, token, in this order."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.support.firmware_agent import run, said
from tests.support.firmware_boards import Board
from tests.support.firmware_site import DEVICE
from tests.support.gateway_double import http, reply, server_context, serving

pytestmark = pytest.mark.micropython


@pytest.fixture
def identity(site):
    return site.device()


@pytest.fixture
def enrolled(identity):
    """The values of a device that has enrolled."""
    return {"token": None, "slot": 0, "key0": identity.key_der, "cert0": identity.der}


def asked(gateway):
    """Return what the gateway was asked, and with which certificate."""
    return [(request.line.split()[1], request.certificate) for request in gateway.requests]


def paths(gateway):
    return [path for path, _ in asked(gateway)]


def successor(gateway, identity):
    return gateway.succession.successors[identity.der]


def test_a_device_renews_when_its_gateway_says_so_and_shows_the_new_identity_first(board, gateway, identity, enrolled):
    gateway.succession.renew = {identity.der}
    outcome = run(board, gateway, **enrolled)
    new = successor(gateway, identity)
    assert asked(gateway) == [("/v1/whoami", identity.der), ("/v1/renew", identity.der), ("/v1/whoami", new)]
    # the old identity is still there, and the key is the same
    assert outcome["stored"]["slot"] == 1
    assert outcome["stored"]["cert0"] == identity.der.hex()
    assert outcome["stored"]["key1"] == identity.key_der.hex()
    assert said(outcome, "renewed, certificate in slot 1")
    assert said(outcome, "published reading 1")


def test_a_device_that_is_not_due_does_not_renew(board, gateway, enrolled):
    outcome = run(board, gateway, **enrolled)
    assert paths(gateway) == ["/v1/whoami"]
    assert said(outcome, "the gateway accepts this device until 20")
    assert outcome["log"] == []


def test_a_key_of_the_factory_is_replaced_when_the_gateway_asks_for_it(board, gateway, identity, enrolled):
    gateway.succession.renew, gateway.succession.new_key = {identity.der}, True
    outcome = run(board, gateway, **enrolled)
    assert said(outcome, "renewing with a new key")
    assert said(outcome, "published reading 1")
    assert outcome["stored"]["key1"] != identity.key_der.hex()


def test_a_product_may_want_a_new_key_each_time(board, gateway, identity, enrolled):
    gateway.succession.renew = {identity.der}
    outcome = run(board, gateway, setup="device._new_key = True", **enrolled)
    assert outcome["stored"]["key1"] != identity.key_der.hex()
    assert outcome["stored"]["slot"] == 1


def test_a_key_that_is_refused_is_replaced_by_a_new_one(board, gateway, identity, enrolled):
    gateway.succession.renew = {identity.der}
    gateway.answers["/v1/renew"] = reply("400 Bad Request", b'{"error": "key_retired"}')
    setup = """
import agent.credentials
agent.credentials._FIRST_RETRY = 0
"""
    first = run(board, gateway, setup=setup, enough=100, **enrolled)
    assert said(first, "not renewed: the gateway answers 400 (key_retired)")
    csrs = [json.loads(request.body)["csr"] for request in gateway.requests if request.body]
    assert said(first, "renewing with a new key")
    assert len(csrs) == len(set(csrs)) >= 2
    # one that was refused is not kept
    assert first["log"].count("key1") >= 2


def beside(gateway, identity, enrolled):
    """Let the gateway want a renewal only once the device has been let in, and be asked again soon."""
    plain = gateway.succession.whoami

    def whoami(der, label):
        answer = plain(der, label)
        gateway.succession.renew = {identity.der}
        return answer

    gateway.succession.whoami = whoami
    return """
import agent.trust
lasts = [150, 100000]
agent.trust.patience = lambda: lasts.pop(0) if lasts else 100000
"""


def test_a_session_goes_on_until_the_new_identity_is_proven(board, gateway, identity, enrolled):
    setup = beside(gateway, identity, enrolled)
    outcome = run(board, gateway, setup=setup, enough=100, **enrolled)
    lines = [line.partition(": ")[2] for line in outcome["said"] if "published" not in line]
    until = [line for line in lines if line.startswith("the gateway accepts")]
    assert lines[2:] == [
        until[0],
        "connected to the broker",
        "renewing",
        "renewed, certificate in slot 1",
        until[1],
        "connected to the broker",
    ]
    assert outcome["waits"] == []
    # the second session shows the new one
    assert gateway.broker.sessions == [(DEVICE, DEVICE)] * 2


def test_a_renewal_that_the_gateway_has_no_time_for_is_asked_for_again_later(board, gateway, identity, enrolled):
    gateway.succession.renew = {identity.der}
    gateway.answers["/v1/renew"] = reply("503 Service Unavailable", b"", "Retry-After: 4000")
    outcome = run(board, gateway, enough=5, **enrolled)
    (line,) = said(outcome, "not renewed")
    assert "the gateway answers 503" in line
    assert 4000 <= int(line.split()[-2]) <= 6001
    assert said(outcome, "published reading 5")
    assert outcome["log"] == []


def test_a_renewal_without_memory_beside_the_session_is_done_without_the_session(board, gateway, identity, enrolled):
    setup = beside(gateway, identity, enrolled)
    setup += """
from agent.errors import NoMemory
from agent.gateway import Gateway
plain = Gateway.renew
async def renew(self, slot, new_key):
    if device._credentials._beside: raise NoMemory("out of memory for a connection")
    return await plain(self, slot, new_key)
Gateway.renew = renew
"""
    outcome = run(board, gateway, setup=setup, enough=100, **enrolled)
    assert said(outcome, "the session may be in the way: ending it")
    assert said(outcome, "renewed, certificate in slot 1")
    assert len(gateway.broker.sessions) == 2
    assert outcome["waits"] == []


def test_a_gateway_that_is_deaf_on_one_port_costs_a_moment_of_the_session_and_no_more(
    board, gateway, identity, enrolled
):
    # perhaps the second connection is what does not work, so it is tried without the first one, too
    setup = beside(gateway, identity, enrolled)
    setup += """
import agent.credentials
from agent.gateway import Gateway
agent.credentials._FIRST_RETRY = 0
plain, tries = Gateway.whoami, []
async def whoami(self, slot, anchors=None):
    tries.append(device._credentials._beside)
    if 1 < len(tries) < 7: raise agent.errors.Problem("no connection")
    return await plain(self, slot, anchors)
Gateway.whoami = whoami
told = lambda: tries
"""
    outcome = run(board, gateway, setup=setup, enough=100, **enrolled)
    assert said(outcome, "no connection; the session may be in the way: ending it")
    assert said(outcome, "published reading 30")
    assert outcome["waits"] == []
    assert outcome["told"][:6] == [False, True, True, True, True, False]


def test_what_was_renewed_before_a_power_cut_is_shown_before_what_is_in_use(board, gateway, site, identity, enrolled):
    newer = site.device()
    gateway.succession.successors = {identity.der: newer.der}
    values = {**enrolled, "slot": 2, "key1": newer.key_der, "cert1": newer.der}
    outcome = run(board, gateway, **values)
    assert asked(gateway) == [("/v1/whoami", newer.der)]
    assert outcome["log"] == ["slot"]
    assert outcome["stored"]["slot"] == 1


def test_a_new_identity_that_is_not_accepted_leaves_the_device_with_the_old_one(
    board, gateway, site, identity, enrolled
):
    newer = site.device()
    gateway.succession.refused = {newer.der}
    values = {**enrolled, "slot": 2, "key1": newer.key_der, "cert1": newer.der}
    outcome = run(board, gateway, **values)
    assert said(outcome, "identity in slot 1 is not accepted: the gateway answers 401")
    assert said(outcome, "published reading 1")
    assert "/v1/recover" not in paths(gateway)
    assert outcome["log"] == []


@pytest.mark.parametrize("found_by", ["whoami", "renew"])
def test_a_device_that_is_told_of_a_successor_looks_for_it_before_anything_else(
    board, gateway, site, identity, enrolled, found_by
):
    # the switch did not take place, for whatever reason
    newer = site.device()
    values = {**enrolled, "key1": newer.key_der, "cert1": newer.der}
    if found_by == "whoami":
        gateway.succession.superseded = {identity.der}
    else:
        gateway.succession.renew = {identity.der}
        gateway.answers["/v1/renew"] = reply("403 Forbidden", b'{"error": "superseded"}')
    outcome = run(board, gateway, **values)
    assert said(outcome, "it was renewed already: by this device, or by a copy of it")
    assert asked(gateway)[-1] == ("/v1/whoami", newer.der)
    assert "/v1/recover" not in paths(gateway)
    assert outcome["log"] == ["slot"]
    assert said(outcome, "published reading 1")


def test_a_copied_flash_is_told_that_it_is_one(board, gateway, identity, enrolled):
    gateway.succession.renew = {identity.der}
    run(board, gateway, **enrolled)
    gateway.requests.clear()
    outcome = run(board, gateway, **enrolled)
    assert said(outcome, "(superseded)")
    assert not said(outcome, "published")
    # neither by recovery nor in any other way does it get one
    assert paths(gateway) == ["/v1/whoami"]
    assert outcome["log"] == []


def test_an_identity_that_has_ended_is_recovered_with_the_same_key(board, gateway, identity, enrolled):
    gateway.succession.refused = {identity.der}
    outcome = run(board, gateway, **enrolled)
    new = successor(gateway, identity)
    assert asked(gateway) == [("/v1/whoami", identity.der), ("/v1/recover", None), ("/v1/whoami", new)]
    assert outcome["stored"]["key1"] == outcome["stored"]["key0"]
    assert outcome["stored"]["slot"] == 1
    assert said(outcome, "recovered, certificate in slot 1")
    assert said(outcome, "published reading 1")


def test_the_token_comes_after_recovery(board, gateway, identity, enrolled):
    gateway.succession.refused, gateway.succession.recoverable = {identity.der}, False
    del enrolled["token"]
    outcome = run(board, gateway, **enrolled)
    assert paths(gateway) == ["/v1/whoami", "/v1/recover", "/v1/enrol", "/v1/whoami"]
    assert said(outcome, "no recovery: the gateway answers 403 (refused)")
    assert said(outcome, "published reading 1")
    assert outcome["stored"]["slot"] == 1
    assert "token" not in outcome["stored"]


def test_a_device_that_nobody_wants_keeps_what_it_has_and_asks_ever_more_seldom(board, gateway, identity, enrolled):
    gateway.succession.refused, gateway.succession.recoverable = {identity.der}, False
    outcome = run(board, gateway, failures=3, **enrolled)
    assert paths(gateway) == ["/v1/whoami", "/v1/recover"] * 3
    assert outcome["log"] == []
    assert outcome["waits"][0] >= 15
    assert outcome["waits"][2] >= 60


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "500 no", "503 Service Unavailable"])
def test_an_answer_that_is_not_about_the_identity_costs_it_nothing(board, gateway, enrolled, status):
    del enrolled["token"]
    gateway.answers["/v1/whoami"] = reply(status)
    outcome = run(board, gateway, failures=2, **enrolled)
    assert paths(gateway) == ["/v1/whoami"] * 2
    assert outcome["log"] == []


def test_the_key_of_a_renewal_is_no_key_for_a_token(board, gateway, identity, enrolled):
    # a renewal with a new key was begun; its key may have a certificate, and is retired with the device's old owner
    del enrolled["token"]
    begun = identity.key_der
    gateway.succession.refused, gateway.succession.recoverable = {identity.der}, False
    outcome = run(board, gateway, **{**enrolled, "slot": 2, "key1": begun})
    assert outcome["log"] == ["key1", "slot", "key1", "cert1", "slot", "token"]
    assert outcome["stored"]["key1"] != begun.hex()


def test_a_damaged_key_ends_neither_the_session_nor_the_device(board, gateway, identity, enrolled):
    gateway.succession.renew, gateway.succession.new_key = {identity.der}, True
    setup = "import agent.credentials\nagent.credentials._FIRST_RETRY = 0\n"
    outcome = run(board, gateway, setup=setup, enough=100, **{**enrolled, "slot": 2, "key1": b"\x30\x00"})
    assert said(outcome, "not renewed: the key in the NVS was damaged; a new one is made")
    assert said(outcome, "renewed, certificate in slot 1")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"\xff", b'{"serial": 1, "not_after": 2, "renew_at": 3, "renew": false}'],
)
def test_an_answer_about_the_device_that_cannot_be_read_is_asked_for_again(board, gateway, enrolled, body):
    gateway.answers["/v1/whoami"] = reply("200 OK", body)
    outcome = run(board, gateway, failures=2, **enrolled)
    assert len(said(outcome, "the gateway's answer about this device")) == 2
    assert not said(outcome, "unexpected")
    assert outcome["log"] == []


STANDING = """
from agent.standing import Standing
class Response:
    def __init__(self, body, date): self.body, self.headers = body, {"date": date}
result([Standing(device, Response(body.encode(), date)).left for device, body, date in cases])
"""


def left(board, cases):
    """Return the seconds until each device renews; a case is (device, serial, renew_at, not_after, wanted, now)."""
    given = []
    for device, serial, renew_at, not_after, wanted, now in cases:
        told = {"serial": serial, "renew": wanted, "renew_at": iso(renew_at), "not_after": iso(not_after)}
        given.append((device, json.dumps(told), format_datetime(now, usegmt=True)))
    return board.run(STANDING, cases=given)


def iso(time):
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


def test_a_fleet_renews_spread_over_a_week_and_each_device_at_a_time_of_its_own(board):
    due, ends = NOW + timedelta(days=10), NOW + timedelta(days=130)
    times = left(board, [(f"pump-{n:04}", "ab01", due, ends, False, NOW) for n in range(100)])
    after = [time - 10 * 86_400 for time in times]
    assert min(after) >= 0
    assert max(after) <= 7 * 86_400
    # every day of the week has its share
    shares = [sum(day * 86_400 <= time < (day + 1) * 86_400 for time in after) for day in range(7)]
    assert min(shares) >= 5
    again = left(board, [("pump-0007", "ab01", due, ends, False, NOW + timedelta(hours=n)) for n in range(3)])
    assert again == [times[7] - 3600 * n for n in range(3)]
    assert left(board, [("pump-0007", "ab02", due, ends, False, NOW)])[0] != times[7]


def test_a_short_certificate_is_renewed_within_a_tenth_of_what_is_left(board):
    due, ends = NOW, NOW + timedelta(hours=10)
    times = left(board, [(f"pump-{n:04}", "ab01", due, ends, False, NOW) for n in range(50)])
    assert max(times) <= 3600
    assert len(set(times)) > 40


def test_what_the_gateway_wants_now_is_done_now_and_what_is_past_is_past(board):
    due, ends = NOW + timedelta(days=100), NOW + timedelta(days=200)
    past = NOW - timedelta(days=30)
    cases = [("pump-0001", "01", due, ends, True, NOW), ("pump-0001", "01", past, NOW + timedelta(days=1), False, NOW)]
    assert left(board, cases) == [0, 0]


@pytest.mark.parametrize("off", ["-40d", "+40d"])
def test_a_device_whose_clock_is_wrong_renews_by_the_clock_of_its_gateway(
    micropython, firmware, gateway, site, tmp_path, enrolled, off
):
    wrapper = tmp_path / "micropython"
    wrapper.write_text(f'#!/bin/sh\nexec faketime -f "{off}" "{micropython}" "$@"\n')
    wrapper.chmod(0o700)
    # by the clock of the device that is ahead, the time to renew is long past
    gateway.succession.renew_in = timedelta(days=20)
    earlier = site.server("localhost", now=site.made - timedelta(days=60)).files(tmp_path / "earlier")
    devices = tmp_path / "gateway" / "devices.pem"
    with serving(server_context(*earlier, devices, ask=True), http(gateway.answer, gateway.requests)) as port:
        floor = gateway.nvs()["clock_floor"] - 100 * 86_400
        board = Board(str(wrapper), (firmware,))
        outcome = run(board, gateway, failures=3, https_port=port, clock_floor=floor, **enrolled)
    assert set(paths(gateway)) == {"/v1/whoami"}
    assert said(outcome, f"the gateway accepts this device until {datetime.now(UTC) + timedelta(days=365):%Y-%m}")
    assert "slot" not in outcome["log"]
