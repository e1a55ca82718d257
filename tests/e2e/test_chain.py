"""From nothing to devices that talk."""

import json
import re

from cryptography import x509

from tests.e2e.site import wait_for

DEVICES = {"lamp-000001", "lamp-000002", "lamp-000003"}


def test_an_operator_hears_every_device(site):
    heard: dict[str, dict] = {}

    def all_heard():
        heard.update({reading["device"]: reading for reading in site.readings(count=3, seconds=10)})
        return heard.keys() == DEVICES

    wait_for(all_heard, 60)
    assert all({"n", "uptime", "temperature"} <= reading.keys() for reading in heard.values())


def test_an_operator_sees_which_devices_are_there(site):
    def all_there():
        heard = site.mosquitto(
            "mosquitto_sub", "mqtt_operators", site.operator(), "-t", "devices/+/out/status", "--retained-only",
            "-F", "%t %p", "-C", str(len(DEVICES)), seconds=10,
        )  # fmt: skip
        said = [line.partition(" ") for line in heard.stdout.splitlines()]
        return {topic.split("/")[1] for topic, _, text in said if json.loads(text)["online"]} == DEVICES

    wait_for(all_there, 60)


def test_every_device_was_told_how_long_its_certificate_is_good(site):
    accepted = r"the gateway accepts this device until 20\d\d-\d\d-\d\d, to be renewed from 20\d\d-\d\d-\d\d on"
    for device in DEVICES:
        wait_for(lambda device=device: re.search(accepted, site.console(device)), 60)


def test_the_page_greets_once_with_a_certificate_and_is_401_without(site):
    status, body = site.curl("https", "/", site.stolen("lamp-000001"))
    assert status == 200
    assert body.count("Hello") == 1
    assert body.count("lamp-000001") >= 1
    status, body = site.curl("https", "/")
    assert status == 401
    assert "certificate" in body
    assert "lamp-" not in body


def test_the_gateway_knows_the_certificates_that_are_in_the_flashes(site):
    known = site.devices()
    assert known.keys() == DEVICES
    for device in DEVICES:
        values = site.nvs(site.board_of(device))
        certificate = x509.load_der_x509_certificate(values[f"cert{values['slot']}"])
        assert int(known[device]["serial"], 16) == certificate.serial_number
        assert known[device]["status"] == "active"
        assert re.fullmatch(r"24:0a:c4:00:00:0[123]", known[device]["mac"])
    issuers = {device: known[device]["issuer"] for device in DEVICES}
    assert issuers == {"lamp-000001": "device", "lamp-000002": "device", "lamp-000003": "factory"}


def test_only_the_device_knows_a_key_that_it_made(site):
    key = site.nvs(site.board_of("lamp-000001"))["key0"]
    for path in site.state.rglob("*"):
        if path.is_file() and "boards" not in path.parts:
            assert key not in path.read_bytes(), path


def test_a_second_run_of_all_playbooks_changes_nothing(site):
    ports = ",".join(str(site.state / f"boards/{number}/tty") for number in (1, 2, 3))
    for name in ("ca.yml", "gateway.yml", "factory.yml"):
        done = site.playbook(name, "--extra-vars", f"factory_ports={ports}")
        assert done.returncode == 0, done.stdout[-3000:]
        recap = re.findall(r"changed=(\d+)", done.stdout)
        assert recap, done.stdout
        assert set(recap) == {"0"}, done.stdout


def test_no_secret_is_in_any_log(site):
    values = [site.nvs(number) for number in (1, 2, 3)]
    secrets = [value[name] for value in values for name in ("key0", "wifi_psk")]
    secrets += [secret.token.encode() for secret in site.batch_secrets().values() if secret.token]
    secrets += [secret.hex().encode() for secret in secrets if not secret.isascii()]
    secrets += [path.read_bytes().strip() for path in (site.state / "passphrases").iterdir()]
    verbose = site.playbook("gateway.yml", "-vvv", "--diff")
    assert verbose.returncode == 0
    journal = site.on_the_pi("journalctl --no-pager; cat /var/log/nginx/* /var/log/mosquitto/* 2>/dev/null")
    logs = {"gateway.yml -vvv": verbose.stdout.encode() + verbose.stderr.encode(), "journal": journal}
    logs |= {str(path): path.read_bytes() for path in site.state.glob("log/*")}
    logs |= {str(path): path.read_bytes() for path in site.state.glob("boards/*/console.log")}
    assert len(journal) > 10_000
    for name, text in logs.items():
        for secret in secrets:
            assert secret not in text, f"a secret is in {name}"
