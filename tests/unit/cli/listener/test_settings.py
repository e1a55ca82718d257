"""`fleetmint wifi set` and `fleetmint gateway move`, with a real mosquitto between the command and the devices."""

import getpass
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from fleetmint.ledger.revocation import revoke
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem
from tests.support.gateway_site import certificate_entry, new_key, registration
from tests.templates.conftest import Role

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
PASSPHRASE = "correct horse"  # noqa: S105 - of no network
KEPT = {"state": "kept", "reason": ""}

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="there is no mosquitto here: scripts/setup test installs it")


class Fleet:
    """Devices at the broker: each answers what `answers` has for it, and everything that they hear is in `heard`."""

    def __init__(self, port):
        self.port = port
        self.answers = {}
        self.heard = []
        self.clients = []

    def switch_on(self, device, answer=KEPT):
        self.answers[device] = answer
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=device)
        client.username_pw_set(device)
        subscribed = threading.Event()
        client.on_connect = lambda *_: client.subscribe(f"devices/{device}/in/#", 1)
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = self._hear
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        assert subscribed.wait(30)
        self.clients.append(client)

    def _hear(self, client, _data, message):
        device = message.topic.split("/")[1]
        said = json.loads(message.payload)
        self.heard.append((message.topic, said, message.qos, message.retain))
        if answer := self.answers[device]:
            text = answer if isinstance(answer, str) else json.dumps({"id": said["id"], **answer})
            client.publish(f"devices/{device}/out/fleetmint/settings", text, qos=1)

    def asked(self):
        return [topic.split("/")[1] for topic, *_ in self.heard]


@pytest.fixture
def fleet(listener, state, hierarchy, gateway_side, now, tmp_path):
    place = tmp_path / "broker"
    place.mkdir()
    key = keys.new_key()
    leaf = hierarchy.authority("server").issue(
        "server", key.public_key(), "b", now=now, sans=["localhost", "127.0.0.1"]
    )
    (place / "crt").write_bytes(pem(leaf))
    (place / "key").write_bytes(keys.plain_pem(key))
    (place / "ca").write_bytes(pem(*(hierarchy.authority(name).certificate for name in ("root", "operator"))))
    conf, ports = f"per_listener_settings true\nuser {getpass.getuser()}\nallow_anonymous true\n", []
    for name in ("operators", "devices"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
        rules = Role("mosquitto").render(f"etc/mosquitto/fleetmint/{name}.acl.j2", fleet_station="bench@test")
        (place / f"{name}.acl").write_text(rules)
        conf += f"listener {ports[-1]} 127.0.0.1\nacl_file {place}/{name}.acl\n"
        if name == "operators":
            conf += f"cafile {place}/ca\ncertfile {place}/crt\nkeyfile {place}/key\ntls_version tlsv1.3\n"
            conf += "require_certificate true\nuse_identity_as_username true\n"
        else:
            conf += "allow_anonymous true\n"
    (place / "conf").write_text(conf)
    site = json.loads((state / "site.json").read_text())
    site["gateways"]["gateway"] |= {"mqtt_port": ports[0], "devices_https_port": 443, "devices_mqtt_port": 8883}
    site["wifi"] = []
    (state / "site.json").write_text(json.dumps(site))
    for device in ("lamp-000001", "lamp-000002", "lamp-000003", "lamp-000004"):
        made = hierarchy.authority("factory").issue("factory-device", new_key().public_key(), device, now=now)
        gateway_side.import_(registration([certificate_entry(device, made)]), now)
    with (place / "log").open("w") as log:
        broker = subprocess.Popen([MOSQUITTO, "-v", "-c", place / "conf"], stdout=log, stderr=log)
    for _ in range(200):
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", ports[1])) == 0:
                break
        time.sleep(0.05)
    made = Fleet(ports[1])
    yield made
    for client in made.clients:
        client.disconnect()
        client.loop_stop()
    broker.terminate()
    broker.wait()


@pytest.fixture
def named(state, hierarchy, now):
    """A certificate of the gateway with all the names that devices are told here."""
    held = ["localhost", "gateway.example.net", "192.0.2.8"]
    leaf = hierarchy.authority("server").issue("server", new_key().public_key(), "gateway", now=now, sans=held)
    (state / "issued/gateway/nginx.crt").write_bytes(pem(leaf))


@pytest.fixture
def told(state, tmp_path, named):
    """Run the command; return its exit code, what it printed and what it complained of."""
    (tmp_path / "networks").write_text(f"workshop {PASSPHRASE}\nattic another passphrase\n")
    (tmp_path / "networks").chmod(0o600)

    def run(*arguments, typed=""):
        done = subprocess.run(
            [Path(sys.executable).with_name("fleetmint"), *arguments],
            env={**os.environ, "FLEETMINT_STATE": str(state), "COLUMNS": "200"},
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr

    run.networks = ("--network", "workshop", "--passphrases", f"file:{tmp_path}/networks")
    return run


def results(out):
    return {each["device"]: (each["state"], each["reason"]) for each in json.loads(out)["devices"]}


def test_a_device_is_told_its_networks_in_their_order_and_nothing_of_it_is_kept_by_the_broker(fleet, told):
    fleet.switch_on("lamp-000001")
    code, out, err = told("wifi", "set", "lamp-000001", *told.networks, "--network", "attic", "--json")
    assert (code, err) == (0, "")
    assert results(out) == {"lamp-000001": ("kept", "")}
    ((topic, said, qos, retained),) = fleet.heard
    assert (topic, qos, retained) == ("devices/lamp-000001/in/fleetmint/wifi", 1, 0)
    assert said["networks"] == [
        {"ssid": "workshop", "passphrase": PASSPHRASE},
        {"ssid": "attic", "passphrase": "another passphrase"},
    ]
    assert int(said["id"], 16)
    # whoever comes later finds nothing
    late = subprocess.run(
        ["mosquitto_sub", "-p", str(fleet.port), "-u", "lamp-000001", "-i", "later", "-t", "devices/#", "-W", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert late.stdout == ""


def test_the_second_time_a_device_that_has_it_says_so_and_that_is_well(fleet, told):
    fleet.switch_on("lamp-000001", {"state": "already"})
    code, out, _ = told("wifi", "set", "lamp-000001", *told.networks)
    assert code == 0
    assert "already" in out


def test_a_device_that_went_back_is_named_with_its_reason_and_the_command_to_run_again(fleet, told):
    fleet.switch_on("lamp-000001", {"state": "failed", "reason": "Wi-Fi workshop: wrong\n passphrase\x1b[2J"})
    code, out, err = told("wifi", "set", "lamp-000001", *told.networks)
    assert code == 1
    assert "Wi-Fi workshop: wrong" in out
    assert "\x1b" not in out + err
    line = err.split("`")[1]
    # the very line, typed into a shell, does the same
    fleet.answers["lamp-000001"] = KEPT
    code, out, err = told(*shlex.split(line)[1:])
    assert (code, err) == (0, "")
    assert PASSPHRASE not in line


def test_a_device_that_is_away_is_told_apart_at_once_and_one_that_is_silent_after_its_time(fleet, told):
    fleet.switch_on("lamp-000002")
    fleet.switch_on("lamp-000003", None)
    code, out, err = told(
        "wifi", "set", "lamp-000001", "lamp-000002", "lamp-000003", *told.networks, "--seconds", "2", "--yes", "--json"
    )
    assert code == 1
    assert results(out) == {
        "lamp-000001": ("not heard", "it is not connected to the broker"),
        "lamp-000002": ("kept", ""),
        "lamp-000003": ("not heard", "no answer within 2 s"),
    }
    assert "wifi set" in err
    assert "lamp-000001 lamp-000003" in err
    assert "lamp-000002" not in err


def test_who_has_left_the_broker_is_not_waited_for(fleet, told):
    # a dashboard hears everything, so that the broker finds somebody for each message
    dashboard = subprocess.Popen(["mosquitto_sub", "-p", str(fleet.port), "-u", "lamp-000001", "-t", "devices/#"])
    said = ["-t", "devices/lamp-000001/out/status", "-m", '{"online": false}']
    subprocess.run(["mosquitto_pub", "-p", str(fleet.port), "-u", "lamp-000001", "-r", "-q", "1", *said], check=True)
    fleet.switch_on("lamp-000002")
    code, out, _ = told("wifi", "set", "lamp-000001", "lamp-000002", *told.networks, "--yes", "--json")
    dashboard.terminate()
    dashboard.wait()
    assert code == 1
    assert results(out) == {
        "lamp-000001": ("not heard", "it is not connected to the broker"),
        "lamp-000002": ("kept", ""),
    }


def test_nobody_else_is_told_when_the_first_one_fails(fleet, told):
    for number in range(1, 5):
        fleet.switch_on(f"lamp-00000{number}")
    fleet.answers["lamp-000003"] = {"state": "failed", "reason": "no such network in range"}
    code, out, _ = told("wifi", "set", "--all", *told.networks, "--canary", "lamp-000003", "--yes", "--json")
    assert code == 1
    assert fleet.asked() == ["lamp-000003"]
    states = {device: state for device, (state, _) in results(out).items()}
    assert states == {f"lamp-00000{n}": "failed" if n == 3 else "not tried" for n in range(1, 5)}


def test_nobody_else_is_told_when_the_first_one_is_not_heard_any_more(fleet, told):
    fleet.switch_on("lamp-000001", None)
    fleet.switch_on("lamp-000002")
    code, _, _ = told("wifi", "set", "--all", *told.networks, "--seconds", "2", "--yes")
    assert code == 1
    assert fleet.asked() == ["lamp-000001"]


def test_a_failure_stops_those_that_were_not_told_yet_unless_it_is_to_go_on(fleet, told):
    for number in range(1, 5):
        fleet.switch_on(f"lamp-00000{number}")
    fleet.answers["lamp-000002"] = {"state": "failed", "reason": "wrong passphrase"}
    code, _, err = told("wifi", "set", "--all", *told.networks, "--at-once", "1", "--yes")
    assert code == 1
    assert fleet.asked() == ["lamp-000001", "lamp-000002"]
    assert "3 of 4 devices" in err
    fleet.heard.clear()
    assert told("wifi", "set", "--all", *told.networks, "--at-once", "1", "--yes", "--keep-going")[0] == 1
    assert fleet.asked() == ["lamp-000001", "lamp-000002", "lamp-000003", "lamp-000004"]


def test_several_devices_are_told_only_after_somebody_has_seen_what_will_happen(fleet, told):
    for number in range(1, 5):
        fleet.switch_on(f"lamp-00000{number}")
    code, _, err = told("wifi", "set", "--all", *told.networks)
    assert code == 1
    assert "nobody confirmed" in err
    code, _, err = told("wifi", "set", "--all", *told.networks, typed="yes\n")
    assert code == 1
    assert "'workshop'" in err
    assert "that is not 4: nobody was told anything" in err
    assert fleet.heard == []
    assert told("wifi", "set", "--all", *told.networks, typed="4\n")[0] == 0
    assert len(fleet.heard) == 4


def test_what_is_no_answer_to_this_message_counts_for_nothing(fleet, told):
    fleet.switch_on("lamp-000001")
    for answer in ('{"id":"00","state":"kept"}', "no JSON", '{"state":"kept"}', "[]", '{"id":1,"state":[]}'):
        fleet.answers["lamp-000001"] = answer
        code, out, _ = told("wifi", "set", "lamp-000001", *told.networks, "--seconds", "1", "--json")
        assert code == 1
        assert results(out)["lamp-000001"][0] == "not heard"


@pytest.mark.parametrize("wanted", ["revoked", "unknown", "nobody", "everybody and one", "another canary"])
def test_a_command_that_cannot_be_meant_tells_nobody_anything(fleet, told, wanted, gateway_side, now):
    with gateway_side.writing() as connection:
        revoke(connection, "lamp-000002", reason="unspecified", actor="test", now=now)
    fleet.switch_on("lamp-000001")
    arguments, words = {
        "revoked": (["lamp-000001", "lamp-000002"], "lamp-000002 is revoked"),
        "unknown": (["lamp-000001", "lamp-000009"], "does not know lamp-000009"),
        "nobody": ([], "say which devices"),
        "everybody and one": (["--all", "lamp-000001"], "say which devices"),
        "another canary": (["lamp-000001", "--canary", "lamp-000003"], "lamp-000003 is to be told first"),
    }[wanted]
    code, out, err = told("wifi", "set", *arguments, *told.networks, "--yes")
    assert code in (1, 2)
    assert out == ""
    assert words in err
    assert fleet.heard == []


def test_of_the_fleet_and_of_a_batch_the_active_devices_are_told(fleet, told, gateway_side, now):
    with gateway_side.writing() as connection:
        revoke(connection, "lamp-000002", reason="unspecified", actor="test", now=now)
    for number in (1, 3, 4):
        fleet.switch_on(f"lamp-00000{number}")
    assert told("wifi", "set", "--all", *told.networks, "--yes")[0] == 0
    assert sorted(fleet.asked()) == ["lamp-000001", "lamp-000003", "lamp-000004"]
    fleet.heard.clear()
    # the batch has two devices, of which one is revoked
    assert told("wifi", "set", "--batch", "first", *told.networks, "--yes")[0] == 0
    assert fleet.asked() == ["lamp-000001"]


def test_where_only_the_gateways_libraries_are_a_move_is_said_to_be_for_the_controller():
    blocked = "import sys; sys.modules['paho'] = None; from fleetmint.cli import main; main()"

    def run(*arguments):
        command = [sys.executable, "-c", blocked, "gateway", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert "move" in run("--help").stdout
    assert "sign-crl" in run().stdout + run().stderr
    moved = run("move", "lamp-000001", "--host", "192.0.2.8")
    assert (moved.returncode, moved.stdout) == (1, "")
    assert "`fleetmint gateway move lamp-000001 --host 192.0.2.8` on the controller" in moved.stderr


def test_an_operator_who_is_no_station_is_told_so(fleet, told):
    fleet.switch_on("lamp-000001")
    code, _, err = told("wifi", "set", "lamp-000001", *told.networks, "--as", "alice@test")
    assert code == 1
    assert "does not let alice@test tell devices this" in err
    assert "mosquitto_stations" in err
    assert fleet.heard == []


@pytest.mark.parametrize(
    ("ssid", "line", "words"),
    [
        ("x" * 33, "", "1 to 32 bytes"),
        ("workshop", "workshop short", "8 to 63 characters"),
        ("workshop", f"workshop {'x' * 64}", "64 hex digits"),
        ("workshop", "workshop pass\x07word!", "U+0007"),
        ("workshop", "other passphrase", "no line"),
    ],
)
def test_what_a_batch_would_refuse_is_refused_here_as_well(fleet, told, tmp_path, ssid, line, words):
    fleet.switch_on("lamp-000001")
    (tmp_path / "networks").write_text(line)
    code, out, err = told("wifi", "set", "lamp-000001", "--network", ssid, "--passphrases", f"file:{tmp_path}/networks")
    assert (code, out) == (1, "")
    assert words in err
    assert fleet.heard == []


@pytest.mark.parametrize(
    ("ssids", "words"), [("abcde", "1 to 4 networks"), ("aa", "'a' is there twice")], ids=["too many", "twice"]
)
def test_a_list_of_networks_that_no_device_takes_is_refused(fleet, told, ssids, words):
    named = [word for ssid in ssids for word in ("--network", ssid)]
    code, _, err = told("wifi", "set", "lamp-000001", *named)
    assert code == 1
    assert words in err


def test_an_open_network_has_no_passphrase_and_is_named_as_one(fleet, told):
    fleet.switch_on("lamp-000001")
    assert told("wifi", "set", "lamp-000001", "--network", "guests", "--open", "guests")[0] == 0
    assert fleet.heard[0][1]["networks"] == [{"ssid": "guests", "passphrase": ""}]
    code, _, err = told("wifi", "set", "lamp-000001", "--network", "guests", "--open", "others")
    assert code == 2
    assert "none of the networks" in err


def test_a_device_is_told_where_its_gateway_is(fleet, told):
    fleet.switch_on("lamp-000001")
    code, _, _ = told("gateway", "move", "lamp-000001", "--host", "gateway.example.net", "--mqtt-port", "8893")
    assert code == 0
    ((topic, said, *_),) = fleet.heard
    del said["id"]
    assert topic == "devices/lamp-000001/in/fleetmint/gateway"
    assert said == {"gateway": "gateway.example.net", "https_port": 443, "mqtt_port": 8893}


def test_a_gateway_of_the_site_is_named_by_its_name_and_heard_there_too(fleet, told, state):
    site = json.loads((state / "site.json").read_text())
    there = {"devices_https_port": 1443, "devices_mqtt_port": 1883, "host": "localhost"}
    site["gateways"]["attic"] = {**site["gateways"]["gateway"], **there}
    (state / "site.json").write_text(json.dumps(site))
    fleet.switch_on("lamp-000001")
    code, out, err = told("gateway", "move", "lamp-000001", "--host", "attic", "--gateway", "gateway", "--json")
    assert (code, err) == (0, "")
    assert results(out) == {"lamp-000001": ("kept", "")}
    said = fleet.heard[0][1]
    assert (said["gateway"], said["https_port"], said["mqtt_port"]) == ("localhost", 1443, 1883)


def test_a_device_is_told_the_ports_of_its_class(fleet, told, state):
    site = json.loads((state / "site.json").read_text())
    classes = {"modern": {"https_port": 9443, "mqtt_port": 9883}}
    site["gateways"]["gateway"]["tls_classes"] = classes
    (state / "site.json").write_text(json.dumps(site))
    shutil.rmtree(state / "batches", ignore_errors=True)
    for batch, device, about in (("old", 1, {}), ("new", 2, {"tls": "modern"}), ("older", 3, {"tls": "tls12"})):
        directory = state / "batches" / batch
        directory.mkdir(parents=True)
        (directory / "batch.json").write_text(json.dumps({"batch": batch, **about}))
        (directory / "registration.json").write_text(json.dumps({"devices": [{"device": f"lamp-00000{device}"}]}))
        fleet.switch_on(f"lamp-00000{device}")
    names = [f"lamp-00000{number}" for number in (1, 2, 3)]
    assert told("gateway", "move", *names, "--host", "192.0.2.8", "--yes")[0] == 0
    heard = {topic.split("/")[1]: (said["https_port"], said["mqtt_port"]) for topic, said, *_ in fleet.heard}
    assert heard == {"lamp-000001": (443, 8883), "lamp-000002": (9443, 9883), "lamp-000003": (443, 8883)}
    # nobody knows what this one speaks
    code, _, err = told("gateway", "move", "lamp-000004", "--host", "192.0.2.8")
    assert (code, "its ports, are not known" in err) == (1, True)
    # a gateway that does not have the class
    site["gateways"]["gateway"] |= {"tls_classes": {}}
    (state / "site.json").write_text(json.dumps(site))
    code, _, err = told("gateway", "move", "lamp-000002", "--host", "192.0.2.8")
    assert (code, "no listeners of the class modern" in err) == (1, True)


def test_a_move_that_failed_is_named_with_its_command_for_the_same_site(fleet, told):
    fleet.switch_on("lamp-000001", {"state": "failed", "reason": "nothing answers there"})
    code, _, err = told("gateway", "move", "lamp-000001", "--host", "192.0.2.8")
    assert code == 1
    assert "gateway move --host 192.0.2.8 lamp-000001" in err


def test_a_name_that_no_certificate_of_a_gateway_holds_is_told_nobody(fleet, told):
    fleet.switch_on("lamp-000001")
    code, out, err = told("gateway", "move", "lamp-000001", "--host", "gateway.example.org")
    assert (code, out, fleet.heard) == (1, "", [])
    assert "gateway_certificates_names" in err
    assert told("gateway", "move", "lamp-000001", "--host", "GATEWAY.example.net")[0] == 0


@pytest.mark.parametrize("where", ["https://x", "a b", "-x", "300.1.1.1"])
def test_what_no_certificate_could_name_is_no_address_of_a_gateway(fleet, told, where):
    code, out, err = told("gateway", "move", "lamp-000001", f"--host={where}")
    assert (code, out) == (1, "")
    assert where in err
