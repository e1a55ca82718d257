"""Who hears of what is due: the units that look, and a real broker with the rules of the roles."""

import configparser
import getpass
import json
import shutil
import socket
import subprocess
import time

import pytest

from fleetmint.gateway.broker.announcement import TOPIC, Announcement
from fleetmint.gateway.broker.mqtt import Connection
from fleetmint.gateway.config import Config
from tests.templates.conftest import Role

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
UNITS = "etc/systemd/system"
RULES = "etc/mosquitto/fleetmint"
DUE = {"gateway": "gateway", "site": "workshop", "at": "x", "due": [{"what": "CRL x ends on 2031-05-17", "remedy": []}]}


@pytest.fixture
def role() -> Role:
    return Role("gateway_alarms")


def unit(role: Role, name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str
    parser.read_string(role.render(f"{UNITS}/{name}.j2"))
    return parser


def test_the_look_is_taken_every_day_and_after_a_day_off(role):
    timer = unit(role, "fleetmint-expiries.timer")["Timer"]
    assert timer["OnCalendar"] == "daily"
    assert timer["Persistent"] == "true"


def test_the_command_of_the_site_reaches_neither_ledger_nor_key(role):
    service = unit(role, "fleetmint-alert@.service")["Service"]
    hidden = {path.lstrip("-") for path in service["InaccessiblePaths"].split()}
    config = Config("workshop", "gateway")
    assert hidden == {str(config.device_ca), str(config.state)}
    assert (service["User"], service["Group"]) == ("fleetmint-alert", "fleetmint-alert")
    assert service["CapabilityBoundingSet"] == ""
    assert unit(role, "fleetmint-alert.socket")["Socket"]["ListenStream"] == str(config.alert_socket)


def test_the_look_leaves_what_it_found_where_the_watch_reads_it(role):
    service = unit(role, "fleetmint-expiries.service")["Service"]
    assert f"/var/lib/{service['StateDirectory']}" == str(Config("workshop", "gateway").alerts)
    assert service["StateDirectoryMode"] == "0755"
    assert "device-ca" in service["InaccessiblePaths"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_nothing_wrong_with_the_units(role, tmp_path):
    for template in (role.templates / UNITS).glob("fleetmint-*.j2"):
        text = role.render(f"{UNITS}/{template.name}").replace("/opt/fleetmint/bin/fleetmint", "/bin/true")
        (tmp_path / template.stem).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "fleetmint" in line]
    assert ours == []


@pytest.fixture
def broker(mosquitto, tmp_path):
    """A broker with the rules of operators, devices and the watch, where a name is believed; ports by listener."""
    ports, conf = {}, f"per_listener_settings true\nuser {getpass.getuser()}\n"
    for listener in ("devices", "operators", "watch"):
        (tmp_path / listener).write_text(mosquitto.render(f"{RULES}/{listener}.acl.j2", fleet_station="bench@workshop"))
        if listener == "watch":
            conf += f"listener 0 {tmp_path / 'watch.sock'}\n"
        else:
            with socket.create_server(("127.0.0.1", 0)) as free:
                ports[listener] = free.getsockname()[1]
            conf += f"listener {ports[listener]} 127.0.0.1\n"
        conf += f"allow_anonymous true\nacl_file {tmp_path / listener}\n"
    (tmp_path / "conf").write_text(conf)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([MOSQUITTO, "-c", tmp_path / "conf"], stdout=log, stderr=log)
    for _ in range(100):
        if (tmp_path / "watch.sock").exists():
            break
        time.sleep(0.05)
    yield ports
    process.terminate()
    process.wait()


def retained(port: int, name: str) -> str:
    command = ["mosquitto_sub", "-p", str(port), "-u", name, "-t", TOPIC, "--retained-only", "-C", "1", "-W", "2"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@pytest.mark.skipif(MOSQUITTO is None, reason="there is no mosquitto here: scripts/setup test installs it")
def test_operators_hear_what_is_due_whenever_they_come_and_nothing_once_nothing_is(broker, tmp_path):
    due = tmp_path / "due.json"
    connection = Connection(tmp_path / "watch.sock")
    announcement = Announcement(due)
    announcement.refresh(connection)  # before the first look nothing is known
    due.write_text(json.dumps(DUE) + "\n")
    announcement.refresh(connection)
    assert json.loads(retained(broker["operators"], "alice@workshop")) == DUE
    assert retained(broker["devices"], "lamp-000001") == ""
    forged = ["mosquitto_pub", "-r", "-t", TOPIC, "-u", "alice@workshop", "-n", "-p", str(broker["operators"])]
    subprocess.run(forged, check=True)
    assert json.loads(retained(broker["operators"], "alice@workshop")) == DUE
    due.write_text("damaged")
    announcement.refresh(connection)
    assert json.loads(retained(broker["operators"], "alice@workshop")) == DUE
    due.write_text(json.dumps(DUE | {"due": []}))
    announcement.refresh(connection)
    assert retained(broker["operators"], "alice@workshop") == ""
    connection.close()
