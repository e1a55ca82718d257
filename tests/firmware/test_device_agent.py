"""The loop of the device when something goes wrong: it says why, waits, and goes on."""

import base64
import json
from datetime import timedelta

import pytest
from cryptography import x509

from fleetmint.nvs import keys
from fleetmint.x509.keys import spki_sha256
from tests.support.firmware_agent import run, said
from tests.support.firmware_site import DEVICE
from tests.support.gateway_double import reply

pytestmark = pytest.mark.micropython


def test_the_key_is_stored_before_it_is_used_and_the_slot_switched_last(board, gateway):
    outcome = run(board, gateway)
    assert outcome["log"] == ["key0", "cert0", "slot", "token"]


def test_a_lost_reply_gets_the_same_key_the_same_certificate(board, gateway):
    gateway.answers["/v1/enrol"] = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"
    first = run(board, gateway)
    assert said(first, "ends early")
    assert first["log"] == ["key0"]
    del gateway.answers["/v1/enrol"]
    second = run(board, gateway, key0=bytes.fromhex(first["stored"]["key0"]))
    assert second["log"] == ["cert0", "slot", "token"]
    assert json.loads(gateway.requests[0].body)["csr"] != json.loads(gateway.requests[1].body)["csr"]
    assert len(set(gateway.enrolled)) == 1


def test_a_damaged_key_is_replaced(board, gateway):
    outcome = run(board, gateway, failures=2, key0=b"\x30\x00")
    assert said(outcome, "was damaged")
    assert said(outcome, "published reading 1")


def test_a_refused_token_waits_longer_each_time(board, gateway):
    gateway.answers["/v1/enrol"] = reply("403 Forbidden", b'{"error": "refused"}')
    outcome = run(board, gateway, failures=3)
    assert len(said(outcome, "the gateway answers 403 (refused)")) == 3
    assert 15 <= outcome["waits"][0] <= 31
    assert 30 <= outcome["waits"][1] <= 61
    assert 60 <= outcome["waits"][2] <= 121


def test_a_busy_gateway_gets_the_time_it_asks_for(board, gateway):
    gateway.answers["/v1/enrol"] = reply("503 Service Unavailable", b"", "Retry-After: 40")
    outcome = run(board, gateway)
    assert said(outcome, "the gateway answers 503")
    assert 40 <= outcome["waits"][0] <= 45


def test_a_device_that_has_to_be_approved_asks_again_with_the_same_key_and_stays_in_its_network(board, gateway):
    pending = json.dumps({"error": "approval_pending", "message": "x"}).encode()
    gateway.answers["/v1/enrol"] = reply("202 Accepted", pending, "Retry-After: 60")
    left = "left = []\nwlan.active = lambda value=None: left.append(value) if value is False else True\n"
    outcome = run(board, gateway, failures=7, setup=left + "told = lambda: left\n")
    key = x509.load_der_x509_csr(base64.b64decode(json.loads(gateway.requests[0].body)["csr"])).public_key()
    shown = spki_sha256(key).hex()[:16]
    assert (
        len(said(outcome, f"waiting for approval of the key {shown}: the gateway answers 202 (approval_pending)")) == 7
    )
    assert all(60 <= wait <= 121 for wait in outcome["waits"])
    assert outcome["told"] == []
    assert outcome["log"] == ["key0"]
    bodies = [json.loads(request.body) for request in gateway.requests]
    assert {body["mac"] for body in bodies} == {"24:0a:c4:00:00:07"}
    keys_of = {x509.load_der_x509_csr(base64.b64decode(body["csr"])).public_key().public_numbers() for body in bodies}
    assert keys_of == {key.public_numbers()}
    del gateway.answers["/v1/enrol"]
    after = run(board, gateway, key0=bytes.fromhex(outcome["stored"]["key0"]))
    assert after["log"] == ["cert0", "slot", "token"]
    assert gateway.enrolled == [spki_sha256(key)]


def test_what_a_gateway_says_in_an_error_cannot_flood_the_console(board, gateway):
    gateway.answers["/v1/enrol"] = reply("400 Bad Request", json.dumps({"error": "\x1b[2J" + "x" * 50}).encode())
    (line,) = said(run(board, gateway), "the gateway answers 400")
    assert "\x1b" not in line
    assert "xxx" not in line


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"certificate": 1}', b'{"certificate": "!"}', b'{"certificate": "MAA="}', b"\xff"]
)
def test_a_reply_without_a_usable_certificate_is_refused(board, gateway, body):
    gateway.answers["/v1/enrol"] = reply("200 OK", body)
    outcome = run(board, gateway)
    assert outcome["log"] == ["key0"]
    assert said(outcome, "trying again")
    assert not said(outcome, "unexpected")


def test_a_certificate_for_another_key_is_refused(board, gateway, site):
    import base64

    other = base64.b64encode(site.device().der).decode()
    gateway.answers["/v1/enrol"] = reply("200 OK", json.dumps({"certificate": other}).encode())
    outcome = run(board, gateway)
    assert said(outcome, "is for another key")
    assert outcome["log"] == ["key0"]


def test_a_certificate_that_is_not_accepted_is_not_switched_to_and_its_successor_is_stored_once(board, gateway):
    gateway.answers["/v1/whoami"] = reply("401 Unauthorized", b"<p>Hello, who are you?</p>")
    outcome = run(board, gateway, failures=4)
    # the first identity, its recovery beside it, and nothing more however often it is tried
    assert outcome["log"] == ["key0", "cert0", "slot", "cert1", "key1"]
    assert outcome["stored"]["slot"] & 1 == 0
    assert len(said(outcome, "the gateway answers 401")) > 4
    assert len(gateway.enrolled) == 1


def test_the_other_slot_is_tried_and_taken_when_the_first_is_refused(board, gateway, site, foreign_site):
    stranger, own = foreign_site.device(), site.device()
    slots = {"key0": b"\x30\x00", "cert0": stranger.der, "key1": own.key_der, "cert1": own.der, "slot": 0}
    outcome = run(board, gateway, **slots)
    assert said(outcome, "identity in slot 0 is not accepted")
    assert said(outcome, "published reading 1")
    assert outcome["stored"]["slot"] == 1


def test_another_token_gives_a_device_whose_identity_is_refused_a_new_key(board, gateway, foreign_site):
    stranger = foreign_site.device()
    old = {"key0": b"\x30\x00", "cert0": stranger.der, "slot": 0}
    outcome = run(board, gateway, **old)
    assert said(outcome, "there is another token: enrolling with a new key")
    assert said(outcome, "published reading 1")
    assert outcome["log"] == ["key1", "cert1", "slot", "token"]
    assert outcome["stored"]["slot"] == 1
    # the power went before the new identity was proven: it is, at the next start
    cut = {name: bytes.fromhex(outcome["stored"][name]) for name in ("key1", "cert1")}
    again = run(board, gateway, **old, **cut)
    assert said(again, "published reading 1")
    assert again["log"] == ["slot", "token"]
    assert len(gateway.enrolled) == 1


def test_a_token_that_is_refused_costs_a_device_nothing_that_it_has(board, gateway, foreign_site):
    gateway.answers["/v1/enrol"] = reply("403 Forbidden", b'{"error": "refused"}')
    stranger = foreign_site.device()
    outcome = run(board, gateway, failures=2, key0=b"\x30\x00", cert0=stranger.der, slot=0)
    assert len(said(outcome, "the gateway answers 403 (refused)")) == 2
    # one new key, used again the second time, and everything else as it was
    assert outcome["log"] == ["key1"]
    assert outcome["stored"]["cert0"] == stranger.der.hex()


def test_a_device_whose_identity_is_accepted_needs_no_token_and_forgets_it(board, gateway, site):
    own = site.device()
    outcome = run(board, gateway, key0=own.key_der, cert0=own.der, slot=0)
    assert said(outcome, "published reading 1")
    assert outcome["log"] == ["token"]
    assert gateway.enrolled == []


def test_an_unreachable_gateway_does_not_make_the_device_change_its_slot(board, gateway, site):
    one, two = site.device(), site.device()
    slots = {"key0": one.key_der, "cert0": one.der, "key1": two.key_der, "cert1": two.der, "slot": 1}
    outcome = run(board, gateway, https_port=1, failures=2, **slots)
    assert outcome["log"] == []
    assert len(said(outcome, "connection refused")) == 2


def test_a_connection_that_breaks_does_not_make_the_device_change_its_slot(board, gateway, site):
    one, two = site.device(), site.device()
    slots = {"key0": one.key_der, "cert0": one.der, "key1": two.key_der, "cert1": two.der, "slot": 1}
    setup = """
from agent.gateway import Gateway
greet, greeted = Gateway.whoami, []
async def broken_once(self, slot, anchors=None):
    greeted.append(slot)
    if len(greeted) == 1: raise agent.errors.Problem("connection lost")
    return await greet(self, slot)
Gateway.whoami = broken_once
"""
    outcome = run(board, gateway, setup=setup, failures=2, **slots)
    assert outcome["stored"]["slot"] == 1
    assert said(outcome, "published reading 1")


def test_an_unacknowledged_reading_is_sent_again_in_the_next_session(board, gateway):
    gateway.broker.drop_at = 1
    outcome = run(board, gateway, failures=2)
    assert said(outcome, "published reading 1")
    first, second = gateway.broker.messages[:2]
    assert first == second
    assert len(gateway.broker.sessions) == 2


def test_a_broker_that_refuses_makes_the_device_ask_the_gateway_again(board, gateway):
    gateway.broker.return_code = 5
    outcome = run(board, gateway, failures=2)
    assert len(said(outcome, "the broker refuses the session")) == 2
    assert len([request for request in gateway.requests if request.line.startswith("GET")]) == 2


def test_a_message_reaches_the_product(board, gateway):
    gateway.broker.greeting = [(f"devices/{DEVICE}/in/set", b"on", 1)]
    assert said(run(board, gateway, enough=2), "message set on")


def test_a_message_that_is_too_large_costs_a_line_and_not_the_session(board, gateway):
    topic = f"devices/{DEVICE}/in/\x1b[2Jbig"
    gateway.broker.greeting = [(topic, b"x" * 60_000, 1, True), (f"devices/{DEVICE}/in/set", b"on", 1)]
    outcome = run(board, gateway, enough=3)
    size = 4 + len(topic) + 60_000
    line = f"dropped a message of {size} bytes on devices/{DEVICE}/in/[2Jbig: it is too large for this device"
    assert [each.partition(": ")[2] for each in said(outcome, "dropped")] == [line]
    assert said(outcome, "message set on")
    assert said(outcome, "published reading 3")
    assert (len(gateway.broker.sessions), gateway.broker.acknowledged) == (1, 2)


def test_a_product_that_fails_does_not_stop_the_agent(board, gateway):
    gateway.broker.greeting = [(f"devices/{DEVICE}/in/set", b"on", 1)]
    setup = """
def broken_read():
    if read() and readings[0] == 1: raise ValueError("sensor")
    return {"temperature": 21}
def broken_message(topic, payload): raise KeyError(topic)
device._read, device._inbox._on_message = broken_read, broken_message
"""
    outcome = run(board, gateway, setup=setup, enough=2)
    assert said(outcome, "read() raised ValueError: sensor")
    assert said(outcome, "on_message raised KeyError")
    assert said(outcome, "published reading 1")


def test_the_functions_of_a_product_may_be_coroutines(board, gateway):
    gateway.broker.greeting = [(f"devices/{DEVICE}/in/{n}", b"on", 1) for n in range(12)]
    setup = """
async def slow_read():
    await asyncio.sleep_ms(20)
    return read()
async def slow_message(topic, payload):
    await asyncio.sleep_ms(30)
    on_message(topic, payload)
    if topic == "2": raise KeyError(topic)
device._read, device._inbox._on_message = slow_read, slow_message
"""
    outcome = run(board, gateway, setup=setup, enough=16)
    # they come in order, and a product that cannot keep up loses what is too much and hears of it
    assert [line.split()[1] for line in outcome["said"] if line.startswith("message")] == [str(n) for n in range(8)]
    assert len(said(outcome, "dropped a message: on_message is busy with 8 before it")) == 4
    assert said(outcome, "on_message raised KeyError: 2")
    assert gateway.broker.acknowledged == 12
    assert said(outcome, "published reading 16")


def test_the_tasks_of_a_product_go_on_while_the_agent_waits_and_when_it_has_stopped(board, gateway):
    setup = """
async def main():
    await device.start()
    for n in range(30):
        await asyncio.sleep_ms(10)
    said.append("product done")
async def pause(seconds):
    waits.append(seconds)
    await asyncio.sleep(seconds)
device._pause = pause
"""
    outcome = run(board, gateway, setup=setup, https_port=1)
    assert said(outcome, "trying again")
    assert outcome["said"][-1] == "product done"
    stopped = run(board, gateway, setup=setup, bundle=None)
    assert said(stopped, "stopped: the NVS has no bundle")
    assert stopped["said"][-1] == "product done"


def test_an_agent_that_was_stopped_can_be_started_again_and_says_what_it_had_to_say(board, gateway):
    setup = """
async def main():
    await device.start()
    while published[0] < 2: await asyncio.sleep_ms(10)
    await device.stop()
    said.append("stopped")
    device.publish("door", {"open": True})
    await asyncio.sleep_ms(200)
    await device.start()
    while not [line for line in said if "published message 1" in line]: await asyncio.sleep_ms(10)
    raise End
"""
    outcome = run(board, gateway, setup=setup, enough=1000)
    assert outcome["waits"] == []
    # nothing was read meanwhile, and nothing twice
    numbers = [json.loads(payload)["n"] for topic, payload in gateway.broker.messages if topic.endswith("readings")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(gateway.broker.sessions) == 2
    assert [json.loads(payload)["online"] for _, payload in gateway.broker.retained] == [True, False, True]


def test_an_error_before_the_first_connection_is_survived(board, gateway):
    # a flash that cannot be read just now, say
    setup = """
reads = [0]
real = nvs.get_i32
def flaky(key):
    reads[0] += 1
    if reads[0] == 1: raise OSError(5)
    return real(key)
nvs.get_i32 = flaky
"""
    outcome = run(board, gateway, setup=setup, failures=2)
    assert said(outcome, "unexpected OSError; trying again")
    assert said(outcome, "published reading 1")


def test_lost_wifi_is_joined_again(board, gateway):
    setup = """
def unplug():
    if readings[0] == 1: wlan.joined = False
    return read()
device._read = unplug
"""
    outcome = run(board, gateway, setup=setup, failures=2, enough=3)
    assert said(outcome, "Wi-Fi lost")
    assert len(said(outcome, "joined Wi-Fi")) == 2


def test_an_unexpected_error_is_survived_and_tells_no_content(board, gateway):
    setup = "def explode(): raise RuntimeError('secret')\nwlan.isconnected = explode\n"
    outcome = run(board, gateway, setup=setup, failures=2)
    assert len(said(outcome, "unexpected RuntimeError")) == 2
    assert not said(outcome, "secret")


def test_a_gateway_of_the_future_makes_the_device_doubt_its_clock(board, gateway, site, tmp_path):
    from tests.support.gateway_double import http, server_context, serving

    later = site.server("localhost", now=site.made + timedelta(days=3)).files(tmp_path / "later")
    setup = (
        "doubts = []\ndevice._open()\ndevice._open = lambda: None\ndevice._clock.doubt = lambda: said.append('doubt')"
    )
    with serving(server_context(*later), http(gateway.answer, gateway.requests)) as port:
        outcome = run(board, gateway, setup=setup, https_port=port)
    assert said(outcome, "starts in the future")
    assert said(outcome, "doubt")
    assert gateway.requests == []


@pytest.mark.parametrize(("ntp", "asked"), [(None, ["localhost"]), ("time.example", ["time.example"])])
def test_a_device_that_lost_the_time_asks_the_gateway_or_the_server_it_was_given(board, gateway, ntp, asked):
    assert run(board, gateway, clock_floor=1, ntp=ntp)["asked"] == asked


def test_back_off_doubles_with_jitter_up_to_ten_minutes(board):
    script = """
from agent.backoff import Backoff
from agent.errors import Problem
low, high = Backoff(lambda n: bytes(n)), Backoff(lambda n: b"\\xff" * n)
result([[low.after(Problem("x")) for _ in range(12)], [high.after(Problem("x")) for _ in range(12)]])
"""
    low, high = board.run(script)
    assert low == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert high == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]


def test_a_device_without_a_network_tries_at_least_once_a_minute(board):
    script = """
from agent.backoff import Backoff
from agent.errors import NoNetwork
b = Backoff(lambda n: b"\\xff" * n)
result([b.after(NoNetwork("x")) for _ in range(8)])
"""
    assert board.run(script) == [2, 4, 8, 16, 32, 60, 60, 60]


PAUSE = """
import asyncio, time
from agent import Agent
class Board: pass
device = Agent(board=Board())
class Wifi:
    joined = True
    def up(self): return self.joined
device._wifi = Wifi()
async def main():
    async def meanwhile():
        HAPPENS
    asyncio.create_task(meanwhile())
    started = time.ticks_ms()
    await device._pause(600)
    return time.ticks_ms() - started
result(asyncio.run(main()))
"""


@pytest.mark.parametrize(
    "happens",
    [
        "await asyncio.sleep_ms(50)\n        device.retry()",
        "device._wifi.joined = False\n        await asyncio.sleep_ms(1500)\n        device._wifi.joined = True",
    ],
    ids=["the product asks for it", "Wi-Fi comes back"],
)
def test_a_back_off_ends_early_when_there_is_news(board, happens):
    assert board.run(PAUSE.replace("HAPPENS", happens)) < 10_000


def test_a_watchdog_is_fed_by_the_loop_and_bites_when_that_stands_still(gateway, flash_file, boot):
    main = """
import asyncio, time
from agent import Agent
async def main():
    await Agent(watchdog=1).start()
    await asyncio.sleep(3)
    print("product: stands still")
    time.sleep(2)
    await asyncio.sleep(1)
    print("product: goes on")
asyncio.run(main())
"""
    device = boot(flash_file(gateway.nvs(), main=main))
    device.wait_for("product: stands still")
    device.wait_for("board: the watchdog resets it")
    assert device.process.wait(5) == 64
    assert "product: goes on" not in "\n".join(device.console)


def test_a_watchdog_is_asked_for_by_option_only(board, gateway):
    setup = "dogs = []\nclass Dog:\n    def feed(self): asked.append('fed')\n"
    setup += "def watchdog(ms):\n    asked.append(ms)\n    return Dog()\nBoard.watchdog = staticmethod(watchdog)\n"
    assert run(board, gateway, setup=setup)["asked"] == []
    assert run(board, gateway, setup=setup + "device._watchdog = 2\n")["asked"][:2] == [2000, "fed"]


def test_back_off_starts_again_after_a_success(board):
    script = """
from agent.backoff import Backoff
from agent.errors import Problem
b = Backoff(lambda n: bytes(n))
b.after(Problem("x")); b.after(Problem("x")); b.reset()
result([b.after(Problem("x")), Backoff(lambda n: bytes(n)).after(Problem("x", 999999))])
"""
    assert board.run(script) == [1, 3600]


def test_the_agent_names_the_keys_of_the_factory():
    assert (keys.NAMESPACE, keys.TOKEN, keys.CLOCK_FLOOR) == ("fleetmint", "token", "clock_floor")
