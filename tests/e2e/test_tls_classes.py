"""A class of devices at ports of its own: what is spoken there, and that a revoked device is cut there too."""

import json
import subprocess

import pytest

from tests.e2e.site import wait_for
from tests.support.clients import Client

BATCH = "prefix: nova\nchip: linux\ntls: modern\ndevices:\n  - count: 1\n"
DEVICE = "nova-000001"
CLASS = {"https": "https_modern", "mqtt": "mqtt_modern"}


def fleetmint(site, *arguments):
    done = site.fleetmint(*map(str, arguments))
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def nova(site):
    """A device of a batch of the class, which has enrolled where its token file says."""
    file, token, to = site.scratch / "novas.yml", site.scratch / "nova.token", site.scratch / "nova"
    here = ("--state", site.state)
    file.write_text(BATCH)
    fleetmint(site, "batch", "new", file, *here)
    fleetmint(site, "batch", "register", "novas", *here)
    fleetmint(site, "batch", "export", "novas", "--token", DEVICE, "--out", token, *here)
    told = json.loads(token.read_text())
    assert (told["https_port"], told["mqtt_port"]) == tuple(site.ports[each] for each in CLASS.values())
    fleetmint(site, "enrol", "--token-file", token, "--to", to)
    return Client(to / "key.pem", to / "cert.pem", DEVICE)


@pytest.mark.parametrize("listener", ["https", "mqtt"])
def test_the_ports_of_the_class_take_tls_1_3_and_those_of_all_1_2_too(site, nova, listener):
    for version, of_class in (("-tls1_2", False), ("-tls1_3", True)):
        assert site.handshake(listener, version, *openssl(nova)).returncode == 0
        said = site.handshake(CLASS[listener], version, *openssl(nova))
        assert (said.returncode == 0) is of_class, said.stderr
        assert ("alert protocol version" in said.stderr) is not of_class


def openssl(client):
    return ("-cert", str(client.certificate), "-key", str(client.key))


def test_a_device_of_the_class_gets_in_and_nobody_else_who_may_not(site, nova):
    status, body = site.curl("https_modern", "/", nova)
    assert (status, f"Hello {DEVICE}" in body) == (200, True)
    assert site.curl("https_modern", "/")[0] == 401
    assert site.curl("https_modern", "/", site.operator())[0] == 401
    sent = site.publish("mqtt_modern", nova, f"devices/{DEVICE}/out/readings", "{}")
    assert sent.returncode == 0, sent.stderr
    assert site.publish("mqtt_modern", site.operator(), f"devices/{DEVICE}/in/x", "{}").returncode != 0
    # the rules of devices are those of this listener, too: nothing of others
    with site.listening("mqtt_operators", site.operator(), "-t", "devices/+/out/#", "-F", "%t", "-W", "4") as heard:
        site.publish("mqtt_modern", nova, "devices/lamp-000001/out/forged", "{}")
        site.publish("mqtt_modern", nova, f"devices/{DEVICE}/out/own", "{}")
        topics = heard.communicate()[0]
    assert f"devices/{DEVICE}/out/own" in topics
    assert "forged" not in topics


def test_a_later_token_names_the_ports_of_the_class_too(site, nova):
    token = site.scratch / "later.token"
    fleetmint(site, "token", "new", DEVICE, "--to", token, "--state", site.state)
    told = json.loads(token.read_text())
    assert (told["https_port"], told["mqtt_port"]) == tuple(site.ports[each] for each in CLASS.values())


def test_a_revoked_device_is_cut_at_the_ports_of_its_class(site, nova):
    command = site.mosquitto_command(
        "mosquitto_sub", "mqtt_modern", nova, "-t", f"devices/{DEVICE}/in/#", "-d", "-k", "5"
    )
    log = site.scratch / "nova.log"
    with log.open("w") as file:
        session = subprocess.Popen(["stdbuf", "-oL", *command], stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: "Subscribed" in log.read_text())
        site.fleetmint("revoke", DEVICE, "--state", str(site.state))
        wait_for(lambda: log.read_text().count("sending CONNECT") > 1 or session.poll() is not None, 30)
    finally:
        session.kill()
        session.wait()
    for listener in ("mqtt_modern", "mqtt"):
        assert site.publish(listener, nova, f"devices/{DEVICE}/out/x", "{}").returncode != 0
    for listener in ("https_modern", "https"):
        status, body = site.curl(listener, "/", nova)
        assert (status, "the client certificate was refused" in body) == (401, True)
