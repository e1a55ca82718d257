"""An operator off the fleet, live sessions included, while the others go on."""

import subprocess

import pytest

from tests.e2e.site import wait_for

NAME = "carol@demo"
SHIP = ("gateway.yml", "--tags", "service,certificates")


def fleetmint(site, *arguments):
    done = site.fleetmint(*arguments, "--state", str(site.state))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def sessions(site, carol):
    """Two sessions of one operator, under client ids of their own."""
    command = site.mosquitto_command("mosquitto_sub", "mqtt_operators", carol, "-t", "devices/#", "-d", "-k", "5")
    logs = [site.scratch / f"own-{number}.log" for number in (1, 2)]
    running = []
    for log in logs:
        with log.open("w") as file:
            # line by line, or nothing would be in the file before the end
            line = ["stdbuf", "-oL", *command, "-i", log.stem]
            running.append(subprocess.Popen(line, stdout=file, stderr=subprocess.STDOUT))
    wait_for(lambda: all("Subscribed" in log.read_text() for log in logs))
    yield logs
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def carol(site):
    fleetmint(site, "operator", "add", NAME)
    client = site.operator(NAME)
    # a thief's copy, since revoking deletes the key here
    for path in (client.key, client.certificate):
        (site.scratch / path.name).write_bytes(path.read_bytes())
    return type(client)(site.scratch / client.key.name, site.scratch / client.certificate.name)


def test_a_revoked_operator_is_out_of_every_session_and_listener_and_the_others_go_on(site, carol, sessions):
    assert site.curl("operators", "/", carol)[0] == 200
    said = fleetmint(site, "operator", "revoke", NAME, "--reason", "key_compromise")
    assert "In force at gateway; restarted the broker" in said
    wait_for(lambda: all("PUBLISH" not in log.read_text().splitlines()[-1] for log in sessions))
    sizes = [log.read_text().count("received PUBLISH") for log in sessions]
    assert {reading["device"] for reading in site.readings(6, 60)}  # the devices are back, and alice hears them
    assert [log.read_text().count("received PUBLISH") for log in sessions] == sizes
    assert site.publish("mqtt_operators", carol, "x", "x").returncode != 0
    assert site.curl("operators", "/", carol)[0] in (400, 401)
    assert site.curl("operators", "/", site.operator())[0] == 200


def test_the_playbook_afterwards_changes_nothing_and_does_not_revive(site):
    for playbook in (SHIP, ("ca.yml",)):
        done = site.playbook(*playbook)
        assert done.returncode == 0, done.stdout[-3000:]
        assert "changed=0" in done.stdout, done.stdout[-3000:]


def test_a_replacement_gets_in(site):
    fleetmint(site, "operator", "replace", NAME)
    assert site.curl("operators", "/", site.operator(NAME))[0] == 200


def test_verify_says_what_the_listeners_do(site):
    for name, kind in (("alice@demo", "operator"), ("alice@demo", "device")):
        done = site.fleetmint("verify", str(site.operator(name).certificate), "--as", kind, "--state", str(site.state))
        listener = {"operator": "operators", "device": "https"}[kind]
        assert (done.returncode == 0) == (site.curl(listener, "/", site.operator(name))[0] == 200)


def test_inspect_reads_a_boards_flash_and_shows_no_secret(site):
    flash = site.state / "boards/1/flash.bin"
    text = fleetmint_without_state(site, "inspect", str(flash))
    values = site.nvs(1)
    assert values["device_id"].decode() in text
    assert values["wifi_psk"].decode() not in text
    assert "littlefs" in text


def fleetmint_without_state(site, *arguments):
    done = site.fleetmint(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout
