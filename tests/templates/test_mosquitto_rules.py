"""Who may tell devices what, asked of a real mosquitto with the rules as the role writes them."""

import getpass
import shutil
import socket
import subprocess
import time

import pytest

from fleetmint.gateway.denied import with_denied

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
THIEF = "lamp-9"
STATION, OPERATOR = "bench@workshop", "alice@workshop"

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="there is no mosquitto here: scripts/setup test installs it")


@pytest.fixture
def broker(mosquitto, tmp_path):
    """Ports of a broker with the rules of both listeners, where a name is believed: certificates are others' tests."""
    ports = {}
    conf = f"per_listener_settings true\nuser {getpass.getuser()}\n"
    for listener in ("devices", "operators"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports[listener] = free.getsockname()[1]
        rules = tmp_path / f"{listener}.acl"
        template = f"etc/mosquitto/fleetmint/{listener}.acl.j2"
        denied = [THIEF] if listener == "devices" else []
        rules.write_text(with_denied(mosquitto.render(template, fleet_station=STATION), denied))
        conf += f"listener {ports[listener]} 127.0.0.1\nallow_anonymous true\nacl_file {rules}\n"
    (tmp_path / "conf").write_text(conf)
    (tmp_path / "log").touch()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([MOSQUITTO, "-c", tmp_path / "conf"], stdout=log, stderr=log)
    for _ in range(100):
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", ports["operators"])) == 0:
                break
        time.sleep(0.05)
    yield ports
    process.terminate()
    process.wait()


@pytest.fixture
def heard(broker):
    """Listen as these (listener, name, filter), publish these (name, topic), and return what each has heard."""

    def run(listeners, published):
        processes = [
            subprocess.Popen(
                ["stdbuf", "-oL", "mosquitto_sub", "-d", "-v", "-p", str(broker[at]), "-u", name, "-i", name, "-t", to],
                stdout=subprocess.PIPE,
                text=True,
            )
            for at, name, to in listeners
        ]
        for process in processes:
            for line in process.stdout:
                if line.startswith("Subscribed"):
                    break
        told = [
            subprocess.run(
                [
                    "mosquitto_pub",
                    "-V",
                    "5",
                    "-q",
                    "1",
                    "-p",
                    str(broker["operators"]),
                    "-u",
                    name,
                    "-t",
                    to,
                    "-m",
                    "x",
                ],
                capture_output=True,
                text=True,
                check=False,
            ).stderr
            for name, to in published
        ]
        time.sleep(0.3)
        for process in processes:
            process.terminate()
        texts = [process.communicate()[0].splitlines() for process in processes]
        return told, [[line.removesuffix(" x") for line in text if line.endswith(" x")] for text in texts]

    return run


LED = "devices/lamp-1/in/led"
SETTINGS = "devices/lamp-1/in/fleetmint/wifi"


def test_stations_alone_tell_a_device_its_networks_and_the_others_are_told_so(heard):
    device = ("devices", "lamp-1", "devices/lamp-1/in/#")
    told, (at_device,) = heard([device], [(OPERATOR, SETTINGS), (STATION, SETTINGS), (OPERATOR, LED)])
    assert at_device == [SETTINGS, LED]
    assert "Not authorized" in told[0]
    assert told[1:] == ["", ""]


def test_nobody_but_the_device_hears_the_passphrases_of_its_networks(heard):
    listeners = [
        ("operators", "dashboard@workshop", "devices/#"),
        ("operators", OPERATOR, SETTINGS),
        ("operators", "second@workshop", "devices/+/in/fleetmint/#"),
        ("devices", "lamp-2", "devices/#"),
        ("devices", "lamp-1", "devices/lamp-1/in/#"),
    ]
    _, everybody = heard(listeners, [(STATION, SETTINGS), (OPERATOR, LED)])
    *others, device = everybody
    assert device == [SETTINGS, LED]
    assert others == [[LED], [], [], []]


def test_a_station_writes_to_inboxes_and_never_in_the_name_of_a_device(heard):
    listener = ("operators", "dashboard@workshop", "devices/#")
    told, (at_dashboard,) = heard([listener], [(STATION, "devices/lamp-1/out/fleetmint/settings")])
    assert at_dashboard == []
    assert "Not authorized" in told[0]


def test_a_device_that_is_denied_hears_nothing_and_is_not_heard_and_its_neighbours_are(broker, heard):
    def said_by(device):
        return subprocess.run(
            f"mosquitto_pub -V 5 -q 1 -p {broker['devices']} -u {device} -i {device}"
            f" -t devices/{device}/out/reading -m x".split(),
            capture_output=True,
            text=True,
            check=False,
        ).stderr

    listeners = [("devices", name, f"devices/{name}/in/#") for name in (THIEF, "lamp-1")]
    _, (thief, lamp) = heard(listeners, [(OPERATOR, f"devices/{name}/in/led") for name in (THIEF, "lamp-1")])
    assert (thief, lamp) == ([], ["devices/lamp-1/in/led"])
    assert "Not authorized" in said_by(THIEF)
    assert said_by("lamp-1") == ""


def test_the_play_keeps_what_publishing_has_denied(mosquitto):
    rules = mosquitto.render("etc/mosquitto/fleetmint/devices.acl.j2")
    first = mosquitto.read("vars/main.yml")["__mosquitto_denied"]
    assert with_denied(rules, ["lamp-000001"]).startswith(f"{rules}\n{first}\n")
