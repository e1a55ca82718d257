"""What a gateway says of what ends, and whom it tells."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from fleetmint import commands
from fleetmint.cli import root
from fleetmint.errors import AlertError
from fleetmint.gateway import alerts
from fleetmint.gateway.broker.announcement import TOPIC, Announcement
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.gateway.expiries import due, find, without_ledger
from fleetmint.ledger.schema import certificates, devices
from fleetmint.service.enrolment import enrol
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem
from tests.support.gateway_site import enrolment, issuing, new_key

# How long the tokens of the test's gateway are good.
TOKEN_DAYS = 365


@pytest.fixture(autouse=True)
def on_gateway():
    commands.act_on_gateway()
    yield
    commands.act_on()


@pytest.fixture
def config(site, engine, now):
    """A gateway with its servers' certificates and everything that a play brings, and one device that has enrolled."""
    server = site.hierarchy.authority("server")
    for path in (site.config.nginx / "nginx.crt", site.config.mosquitto / "mosquitto.crt"):
        leaf = server.issue("server", keys.new_key().public_key(), "gateway", now=now, sans=["gateway.local"])
        path.write_bytes(pem(leaf, server.certificate))
    plan_device_crl(engine, [site.device_ca], site.config.device_crl, now=now).apply()
    return site.config


@pytest.fixture
def look(site, config):
    def look(now):
        with site.reading() as connection:
            return due(find(config, connection, now), now)

    return look


@pytest.fixture
def enrolled(site, engine, now):
    """Enrol devices; each uses its certificate from then on."""

    def run(*devices):
        for device, token in site.register(now, *devices).items():
            enrol(issuing(engine, site.device_ca, now), enrolment(device, token, new_key()))
        with site.writing() as connection:
            connection.execute(update(certificates).values(confirmed_at=now))

    return run


@pytest.fixture
def unit(site):
    """What systemd does for each connection: start the command with the connection as its standard streams."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(site.config.alert_socket))
    server.listen()
    program = [str(Path(sys.executable).with_name("fleetmint")), "gateway", "alert", str(site.config.alert)]

    def serve():
        with contextlib.suppress(OSError):
            while True:
                session, _ = server.accept()
                with session:
                    subprocess.run(program, stdin=session, stdout=session, check=True)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.fixture
def tell(config, unit):
    return lambda found, now: alerts.tell(config, found, now, lambda text: alerts.ask(config, text))


@pytest.fixture
def heard(config, tmp_path):
    """Have the command note what it is told; return what it was told since the last time."""
    path = tmp_path / "heard"
    code = f"import sys; open({str(path)!r}, 'a').write(sys.stdin.read() + chr(0))"
    config.alert.write_text(json.dumps({"command": [sys.executable, "-c", code]}))

    def heard():
        told = path.read_text().split("\0")[:-1] if path.exists() else []
        path.unlink(missing_ok=True)
        return told

    return heard


def test_a_gateway_with_everything_fresh_has_nothing_due(look, now):
    assert look(now) == ()


def test_every_kind_of_thing_that_ends_is_known(site, config, now):
    site.register(now, "lamp-000001")
    with site.reading() as connection:
        kinds = {each.kind for each in find(config, connection, now).endings}
    assert kinds >= {"CA", "CRL", "server", "token"}


def test_a_list_of_the_device_ca_that_nobody_signed_for_days_is_due_and_a_fresh_one_is_not(look, now):
    assert look(now + timedelta(days=4)) == ()
    (found,) = look(now + timedelta(days=5))
    assert found.text.startswith("CRL test device CA of gateway ends on ")
    assert found.remedy == ("`sudo systemctl start fleetmint-crl`",)


def test_servers_and_lists_are_due_before_they_end(look, now):
    texts = " / ".join(each.text for each in look(now + timedelta(days=10 * 365 - 80)))
    assert "server gateway (nginx) ended on" in texts
    assert "server gateway (mosquitto) ended on" in texts
    assert "CA test server CA ends on" in texts


def test_a_ca_beside_the_one_that_takes_its_place_is_not_due(site, config, look, now):
    root = site.hierarchy.authority("root")
    following = root.issue("server-ca", new_key().public_key(), "test next server CA", now=now + timedelta(days=2000))
    day = now + timedelta(days=10 * 365 - 80)
    assert any(each.key == "CA test server CA ends" for each in look(day))
    with config.trusted("server").open("ab") as file:
        file.write(pem(following))
    assert not any("server CA" in each.text for each in look(day))


def test_a_certificate_of_a_device_is_no_alarm_of_its_own(look, enrolled, now):
    enrolled("lamp-000001")
    assert {each.key for each in look(now + timedelta(days=364)) if "lamp-000001" in each.text} == {"late"}


def test_devices_that_have_not_renewed_are_counted_in_one_line_until_they_cannot_come_back(site, look, enrolled, now):
    enrolled("lamp-000001", "lamp-000002")

    def late(days):
        return [each for each in look(now + timedelta(days=days)) if each.key == "late"]

    assert late(245) == []
    (found,) = late(275)
    assert found.text == "2 devices have not renewed"
    assert "`fleetmint devices --not-renewed` on the controller" in found.remedy[0]
    assert len(late(365 + 179)) == 1
    assert late(365 + 181) == []


def test_devices_that_never_enrolled_are_one_line_with_the_first_end(site, look, now):
    site.register(now, "lamp-000001", "lamp-000002")
    (found,) = [each for each in look(now + timedelta(days=300)) if each.key == "tokens"]
    assert found.text.startswith("2 devices that have never enrolled, and the token of lamp-000001 ends on ")


def test_a_token_that_ended_long_ago_or_is_of_a_board_that_was_set_aside_is_no_alarm(site, look, now):
    site.register(now, "lamp-000001", "lamp-000002")

    def of_tokens(days):
        return [each.text for each in look(now + timedelta(days=days)) if each.key == "tokens"]

    assert of_tokens(TOKEN_DAYS + 89)
    assert of_tokens(TOKEN_DAYS + 91) == []
    set_aside = update(devices).where(devices.c.device == "lamp-000001").values(result="quarantined", result_at=now)
    with site.writing() as connection:
        connection.execute(set_aside)
    (text,) = of_tokens(TOKEN_DAYS)
    assert text.startswith("1 device that has never enrolled, and the token of lamp-000002 ")


def test_the_account_of_the_service_looks_at_copies_of_what_is_closed_to_it(config, monkeypatch, tmp_path):
    monkeypatch.setattr("fleetmint.gateway.expiries.os.access", lambda *_: False)
    closed = replace(config, served=tmp_path)
    for path in (config.nginx / "nginx.crt", config.mosquitto / "mosquitto.crt"):
        path.rename(tmp_path / path.name)
    names = [each.name for each in without_ledger(closed, "x").endings if each.kind == "server"]
    assert sorted(names) == ["gateway (mosquitto)", "gateway (nginx)"]
    (tmp_path / "nginx.crt").unlink()
    assert "nginx.crt" in without_ledger(closed, "x").damaged[0]


def test_what_cannot_be_read_is_said_and_hides_nothing_else(config, now):
    (config.crls / "operator.pem").write_text("no list")
    found = without_ledger(config, "the ledger is gone")
    texts = [each.text for each in due(found, now + timedelta(days=800))]
    assert "the ledger is gone" in texts
    assert any("operator.pem" in text for text in texts)
    assert any("server gateway (nginx)" in text for text in texts)


def test_the_command_is_told_on_change_and_then_every_week(look, heard, tell, now):
    day = now + timedelta(days=6)
    found = look(day)
    assert tell(found, day)
    (text,) = heard()
    assert text.startswith("Gateway gateway of test: one thing needs you.\n\n- CRL test device CA of gateway ends on ")
    assert "    `sudo systemctl start fleetmint-crl`\n" in text
    for days in (1, 6):
        assert not tell(look(day), day + timedelta(days=days))
    assert tell(look(day), day + timedelta(days=7))
    assert len(heard()) == 1
    assert tell((), day + timedelta(days=8))
    assert heard() == ["Gateway gateway of test: nothing is due any more.\n"]
    assert not tell((), day + timedelta(days=30))


def test_the_command_gets_nothing_of_what_this_process_has_in_its_environment(monkeypatch):
    monkeypatch.setenv("A_SECRET", "x")
    names = alerts.run_command([sys.executable, "-c", "import os; print(*os.environ)"], b"").said.split()
    assert {"PATH", "LANG", "HOME"} <= set(names)
    assert "A_SECRET" not in names


def test_a_command_that_never_ends_is_ended_and_said(monkeypatch):
    monkeypatch.setattr("fleetmint.gateway.alerts._SECONDS", 0.5)
    assert alerts.run_command(["/bin/sleep", "60"], b"") == alerts.Answer(False, "/bin/sleep took longer than 0.5 s")


@pytest.fixture
def command(site):
    """Run `fleetmint gateway expiries` as the unit does."""

    def run(*arguments):
        return CliRunner().invoke(root, ["gateway", "--config", str(site.config_path), "expiries", *arguments])

    return run


def told(config):
    return [each["what"] for each in json.loads(alerts.due_file(config).read_text())["due"]]


def test_the_look_fails_while_something_is_due_and_writes_what_operators_are_told(config, command):
    assert command("--tell").exit_code == 0
    assert told(config) == []
    config.crls.joinpath("operator.pem").unlink()
    found = command("--tell", "--json")
    assert found.exit_code == 1
    (due,) = json.loads(found.stdout)["due"]
    assert "operator.pem" in due["what"]
    assert told(config) == [due["what"]]


def test_only_the_daily_look_tells_anybody(config, command):
    config.crls.joinpath("operator.pem").unlink()
    assert command().exit_code == 1
    assert not alerts.due_file(config).exists()


def test_the_broker_is_told_once_of_what_is_due_and_once_that_it_is_over(tmp_path):
    retained = []

    class Connection:
        def retain(self, topic, payload):
            retained.append((topic, payload))

    path = tmp_path / "due.json"
    announcement = Announcement(path)
    for what in ([], ["x"], ["x"], []):
        path.write_text(json.dumps({"due": what}))
        announcement.refresh(Connection())
    assert retained == [(TOPIC, b""), (TOPIC, b'{"due": ["x"]}'), (TOPIC, b"")]


@pytest.mark.usefixtures("unit")
def test_no_shell_reads_the_command_or_the_text(config, tmp_path):
    config.alert.write_text(json.dumps({"command": ["/bin/echo", f"$(touch {tmp_path}/x); `touch {tmp_path}/x` > y"]}))
    answer = alerts.test(config)
    assert answer == alerts.Answer(True, f"$(touch {tmp_path}/x); `touch {tmp_path}/x` > y")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/bin/sh", "-c", "echo no route >&2; exit 7"], "/bin/sh ended with 7: no route"),
        (["/no/such/program"], "/no/such/program cannot be run: No such file or directory"),
    ],
)
def test_a_command_that_fails_is_an_error_and_is_run_again(config, look, heard, tell, now, command, said):
    good, day = config.alert.read_text(), now + timedelta(days=6)
    config.alert.write_text(json.dumps({"command": command}))
    with pytest.raises(AlertError, match=f"alert_command of gateway failed: {said}"):
        tell(look(day), day)
    config.alert.write_text(good)
    assert tell(look(day), day + timedelta(days=1))
    assert len(heard()) == 1


def test_a_gateway_without_a_command_tells_nobody_and_says_so_in_a_test(config, look, tell, now):
    day = now + timedelta(days=6)
    assert not tell(look(day), day)
    answer = alerts.test(config)
    assert not answer.ok
    assert "set fleet_alert_command in the inventory" in answer.said


def test_a_unit_that_does_not_answer_is_a_failure_that_says_where_to_look(config, look, heard, now):
    day = now + timedelta(days=6)
    with pytest.raises(AlertError, match="systemctl status 'fleetmint-alert"):
        alerts.tell(config, look(day), day, lambda text: alerts.ask(config, text))
    assert heard() == []
