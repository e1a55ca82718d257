"""Whether a device is there, as a real mosquitto and its clients see it; and what happens to what it has to say."""

import json
import time

import pytest

import fleetmint
from tests.support.firmware_site import DEVICE
from tests.support.real_broker import MOSQUITTO, RealBroker

pytestmark = [
    pytest.mark.micropython,
    pytest.mark.skipif(MOSQUITTO is None, reason="there is no mosquitto here: scripts/setup test installs it"),
]

STATUS = f"devices/{DEVICE}/out/status"
READINGS = f"devices/{DEVICE}/out/readings"

MAIN = """
import asyncio
from agent import Agent

async def main():
    agent = Agent(lambda: {"temperature": 21}, every=EVERY, firmware="1.2 of the product")
    await agent.start()
    THEN
    await agent.wait()
    print("product: the agent has ended")

asyncio.run(main())
"""


@pytest.fixture
def broker(site, tmp_path):
    directory = tmp_path / "mosquitto"
    directory.mkdir()
    made = RealBroker(site, directory)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def device(gateway, broker, flash_file, boot):
    """Boot a device of this broker whose product does this after the start of the agent."""

    def start(*then, every=0.1):
        main = MAIN.replace("EVERY", str(every)).replace("THEN", "\n    ".join(then) or "pass")
        return boot(flash_file(gateway.nvs(mqtt_port=broker.port), main=main))

    return start


def numbers(lines):
    return [json.loads(line)["n"] for line in lines]


def test_a_device_that_is_there_says_so_and_what_it_is(broker, device):
    device().wait_for("published reading 1")
    status = json.loads(broker.retained(STATUS))
    assert status["online"] is True
    assert status["agent"] == fleetmint.__version__
    assert status["firmware"] == "1.2 of the product"
    assert status["reset"] == "power on"
    assert status["lost"] == 0
    assert status["uptime"] >= 0
    assert status["micropython"].startswith("1.")


def test_a_device_that_loses_its_power_is_said_to_be_away_by_the_broker(broker, device):
    started = device()
    started.wait_for("published reading 1")
    started.process.kill()
    assert json.loads(broker.wait_for_retained(STATUS, "false")) == {"online": False}


def test_a_device_that_leaves_says_so_itself(broker, device):
    broker.watch(STATUS)
    # as soon as the first readings are out
    busy = "while agent._outbox.items or not agent._outbox.counts['reading']: await asyncio.sleep_ms(10)"
    started = device(busy, "await agent.stop()")
    started.wait_for("product: the agent has ended")
    assert "ended without a farewell" not in "\n".join(started.console)
    said = [json.loads(line) for line in broker.watched(STATUS, 2)]
    assert [each["online"] for each in said] == [True, False]
    assert json.loads(broker.retained(STATUS)) == {"online": False}
    # a will would have been logged as the end of a session without a farewell
    assert f"Client {DEVICE} disconnected." in (broker.directory / "mosquitto.log").read_text()


def test_nothing_is_lost_while_the_broker_is_restarted_and_the_status_is_said_again(broker, device):
    started = device("agent.publish('door', {'open': True})")
    started.wait_for("published reading 3")
    broker.watch(READINGS)
    time.sleep(1)
    broker.stop()
    started.wait_for("trying again")
    before = [line for line in started.console if "published reading" in line]
    broker.start()
    started.wait_for("connected to the broker")
    for _ in range(20):
        started.wait_for("published reading")
    heard = numbers(broker.watched(READINGS, 20))
    # the broker may have taken one over without its acknowledgement getting through: n marks the second copy
    assert sorted(set(heard))[1:] == list(range(min(heard) + 1, max(heard) + 1))
    assert min(heard) <= int(before[-1].rsplit(" ", 1)[1])
    assert len(heard) - len(set(heard)) <= 1
    assert json.loads(broker.retained(STATUS))["online"] is True


def test_by_option_what_was_not_sent_survives_a_power_cut(broker, gateway, site, flash_file, boot):
    main = MAIN.replace("EVERY", "0.2").replace("THEN", "pass").replace("firmware=", "outbox_file='outbox', firmware=")
    flash = flash_file(
        gateway.nvs(mqtt_port=broker.port), main="from agent import keeper\nkeeper._LOOK = keeper._REST = 300\n" + main
    )
    broker.watch(READINGS)
    device = boot(flash)
    device.wait_for("published reading 2")
    broker.stop()
    device.wait_for("trying again")
    time.sleep(2.5)
    device.process.kill()
    broker.start()
    again = boot(flash)
    again.wait_for("published reading")
    first = int(again.console[-1].rsplit(" ", 1)[1])
    for _ in range(12):
        again.wait_for("published reading")
    heard = numbers(broker.watched(READINGS, 14))
    # those that were kept, and then those of the new start, counted on
    assert first > 2
    assert sorted(set(heard)) == list(range(1, max(heard) + 1))


def test_what_did_not_fit_is_counted_and_told(broker, device, gateway):
    started = device("for n in range(70): agent.publish('log', 'line %d' % n)", every=60)
    started.wait_for("published message 70")
    assert json.loads(broker.retained(STATUS))["lost"] in (6, 7)
