"""A Linux machine as a device: the Pi itself plays it, since it runs systemd, and the examples talk to the broker."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest

from fleetmint.x509.authority import load_certificate
from tests.e2e.site import PURPOSE, wait_for
from virtual.pi import container
from virtual.purpose import ROOT

BATCH = "prefix: sensor\nchip: linux\ndevices:\n  - count: 2\n"
NAME, ON_PI = "sensor-000001", "sensor-000002"
FLEETMINT = "/opt/fleetmint/bin/fleetmint"
PLACE = "/var/lib/sensor"


def on_the_pi(command):
    """Return what a shell command prints on the Pi, as root; not over SSH, which takes seconds each time."""
    return container.of(PURPOSE.name).execute("sh", "-c", command).strip()


def fleetmint(site, *arguments):
    done = site.fleetmint(*map(str, arguments))
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def tokens(site):
    """The tokens of two machines, made at the bench as for boards."""
    (site.scratch / "sensors.yml").write_text(BATCH)
    here = ("--state", site.state)
    fleetmint(site, "batch", "new", site.scratch / "sensors.yml", *here)
    fleetmint(site, "batch", "register", "sensors", *here)
    files = {}
    for device in (NAME, ON_PI):
        files[device] = site.scratch / f"{device}.token"
        fleetmint(site, "batch", "export", "sensors", "--token", device, "--out", files[device], *here)
    return files


@pytest.fixture(scope="module")
def sensor(site, tokens):
    """The directory of a machine that has enrolled over the ports of this one."""
    content = json.loads(tokens[NAME].read_text())
    ports = {"gateway": "localhost", "https_port": site.ports["https"], "mqtt_port": site.ports["mqtt"]}
    tokens[NAME].write_text(json.dumps({**content, **ports}))
    directory = site.scratch / "sensor"
    fleetmint(site, "enrol", "--token-file", tokens[NAME], "--to", directory)
    return directory


@contextmanager
def example(name, directory):
    command = [sys.executable, ROOT / "examples" / name, directory]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_examples_talk_to_each_other_through_the_broker(site, sensor):
    listener = site.scratch / "alice"
    fleetmint(site, "operator", "export", "alice@demo", "--to", listener, "--state", site.state)
    about = json.loads((listener / "client.json").read_text())
    ports = {"gateway": "localhost", "mqtt_port": site.ports["mqtt_operators"]}
    (listener / "client.json").write_text(json.dumps({**about, **ports}))
    with example("subscriber.py", listener) as subscriber, example("publisher.py", sensor):
        heard = wait_for(lambda: next(line for line in subscriber.stdout if f"devices/{NAME}/" in line))
    topic, _, text = heard.partition(" ")
    assert topic == f"devices/{NAME}/out/readings"
    assert json.loads(text)["seconds"] > 0


def test_the_three_files_are_good_for_mosquitto_and_curl_as_they_are(site, sensor):
    files = {name: str(sensor / f"{name}.pem") for name in ("ca", "cert", "key")}
    where = ["-h", "localhost", "-p", str(site.ports["mqtt"])]
    identity = ["--cafile", files["ca"], "--cert", files["cert"], "--key", files["key"]]
    words = [*where, *identity, "-i", NAME, "-t", f"devices/{NAME}/out/x", "-m", "1", "-q", "1"]
    sent = subprocess.run(["mosquitto_pub", *words], capture_output=True, text=True, check=False, timeout=30)
    assert sent.returncode == 0, sent.stderr
    shown = ["--cacert", files["ca"], "--cert", files["cert"], "--key", files["key"]]
    asked = ["curl", "-sS", *shown, f"https://localhost:{site.ports['https']}/v1/whoami"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30)
    assert json.loads(said.stdout)["device"] == NAME


def test_a_renewal_with_a_new_key_is_what_the_gateway_knows_afterwards(site, sensor):
    old = load_certificate(sensor / "cert.pem").serial_number
    found = site.fleetmint("audit", "--ask-gateway", "--json", "--state", str(site.state)).stdout
    assert [each for each in json.loads(found)["findings"] if NAME in each["what"]] == []
    said = json.loads(fleetmint(site, "renew", sensor, "--new-key", "--json"))
    assert said["changes"] == ["renewed with a new key"]
    assert int(said["serial"], 16) == load_certificate(sensor / "cert.pem").serial_number != old


@pytest.fixture
def machine(tokens):
    """The Pi as a machine that is a device, with a user for its program; nothing of it stays."""
    content = tokens[ON_PI].read_text().replace("'", "")
    on_the_pi(
        f"useradd --create-home --home-dir {PLACE} sensor && umask 077 && printf '%s' '{content}' > {PLACE}/token"
        f" && chown sensor {PLACE}/token"
    )
    unit = "[Service]\\nExecStart=/bin/sleep infinity\\n"
    on_the_pi(f"printf '{unit}' > /run/systemd/system/sensor.service && systemctl start sensor")
    yield f"{PLACE}/tls"
    on_the_pi(
        f"{FLEETMINT} renew {PLACE}/tls --timer remove; systemctl stop sensor;"
        " rm -f /run/systemd/system/sensor.service; systemctl daemon-reload; userdel --remove sensor"
    )


def test_a_timer_of_systemd_keeps_the_certificate_and_restarts_what_uses_it(machine):
    as_sensor = f"runuser -u sensor -- {FLEETMINT}"
    on_the_pi(f"cd / && {as_sensor} enrol --token-file {PLACE}/token --to {machine} --gateway localhost:443")
    on_the_pi(f"{FLEETMINT} renew {machine} --timer install --restart sensor.service")
    unit = f"fleetmint-renew-{ON_PI}"
    assert on_the_pi(f"systemctl is-enabled {unit}.timer; systemctl is-active {unit}.timer") == "enabled\nactive"
    assert on_the_pi(f"systemd-analyze verify /etc/systemd/system/{unit}.service 2>&1") == ""

    started = on_the_pi("systemctl show -p MainPID sensor")
    on_the_pi(f"systemctl start {unit}.service")
    assert "nothing to do" in on_the_pi(f"journalctl -u {unit} --no-pager")
    assert on_the_pi("systemctl show -p MainPID sensor") == started
    on_the_pi(f"cd / && sleep 1 && {as_sensor} renew {machine} --new-key && systemctl start {unit}.service")
    assert on_the_pi("systemctl show -p MainPID sensor") != started
    assert on_the_pi(f"stat -c '%a %U' {machine}/slots/in-use/key.pem") == "600 sensor"

    again = on_the_pi(f"{FLEETMINT} renew {machine} --timer install --restart sensor.service --json")
    assert json.loads(again)["changed"] is False
    on_the_pi(f"{FLEETMINT} renew {machine} --timer remove")
    assert on_the_pi(f"ls /etc/systemd/system/{unit}* /var/lib/fleetmint-renew/* 2>/dev/null || true") == ""
