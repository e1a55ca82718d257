"""What the signing service is told, and what it may do."""

import configparser
import re
import tomllib

import pytest

UNITS = "etc/systemd/system"


def unit(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str
    parser.read_string(text)
    return parser


def test_the_configuration_is_what_the_service_reads(signing_service, tmp_path):
    from fleetmint.gateway.config import load_config

    stations = ["bench@workshop", "second@workshop"]
    text = signing_service.render("etc/fleetmint/gateway.toml.j2", signing_service_stations=stations)
    assert tomllib.loads(text)["site"] == "workshop"
    (tmp_path / "gateway.toml").write_text(text)
    assert load_config(tmp_path / "gateway.toml").gateway == "gateway"
    assert load_config(tmp_path / "gateway.toml").station_names == set(stations)


def test_whatever_nginx_lets_through_fits_into_the_buffer(signing_service, nginx):
    options = unit(signing_service.render("etc/fleetmint/uwsgi.ini.j2"))["uwsgi"]
    found = re.search(r"large_client_header_buffers (\d+) (\d+)k;", nginx.render("etc/nginx/nginx.conf.j2"))
    number, kilobytes = int(found[1]), int(found[2])
    certificate = 16384  # escaped PEM
    # all headers, and one line again as path and as query beside the whole address
    assert int(options["buffer-size"]) >= (number + 2) * kilobytes * 1024 + certificate


def test_sigterm_ends_the_service_and_only_nginx_reaches_it(signing_service):
    options = unit(signing_service.render("etc/fleetmint/uwsgi.ini.j2"))["uwsgi"]
    assert options["die-on-term"] == "true"
    assert options["chmod-socket"] == "660"
    assert options["module"] == "fleetmint.service.wsgi:application"


def test_five_hundred_devices_at_once_find_room_in_the_queue_of_the_socket(signing_service):
    options = unit(signing_service.render("etc/fleetmint/uwsgi.ini.j2"))["uwsgi"]
    assert 500 < int(options["listen"]) <= 4096  # net.core.somaxconn of both releases: beyond it uWSGI does not start


@pytest.mark.parametrize("name", ["fleetmint.service", "fleetmint-crl.service"])
def test_a_unit_runs_as_its_own_account_without_network_or_privileges(signing_service, name):
    service = unit(signing_service.render(f"{UNITS}/{name}.j2"))["Service"]
    assert service["User"] == "fleetmint"
    assert service["PrivateNetwork"] == "true"
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"


def test_a_ledger_on_another_machine_needs_the_network(signing_service):
    ledger = {"signing_service_ledger": "postgresql+psycopg2://gateway@db.example.net/fleet"}
    service = unit(signing_service.render(f"{UNITS}/fleetmint.service.j2", **ledger))["Service"]
    assert "PrivateNetwork" not in service
    assert "AF_INET" in service["RestrictAddressFamilies"]


def test_the_crl_is_signed_without_root_and_published_with_it(signing_service):
    service = unit(signing_service.render(f"{UNITS}/fleetmint-crl.service.j2"))["Service"]
    assert service["ExecStart"].endswith("gateway sign-crl")
    assert service["ExecStartPost"] == "+/opt/fleetmint/bin/fleetmint gateway publish"


AT_START, ON_CHANGE = "fleetmint-publish-at-start.service", "fleetmint-publish.service"


def test_the_lists_are_published_before_the_servers_that_load_them_start(signing_service):
    text = signing_service.render(f"{UNITS}/{AT_START}.j2")
    assert unit(text)["Unit"]["Before"].split() == ["nginx.service", "mosquitto.service"]
    assert unit(text)["Unit"]["OnFailure"] == ON_CHANGE
    assert unit(text)["Service"]["RemainAfterExit"] == "true"
    assert unit(text)["Install"]["WantedBy"] == "multi-user.target"


def test_what_is_started_by_a_change_waits_for_no_server_and_is_never_given_up(signing_service):
    found = unit(signing_service.render(f"{UNITS}/{ON_CHANGE}.j2"))
    assert {"Before", "After"}.isdisjoint(found["Unit"])
    assert found["Unit"]["StartLimitIntervalSec"] == "0"
    assert found["Service"]["Restart"] == "on-failure"


def test_whatever_the_lists_are_made_of_and_written_to_is_watched(signing_service, tmp_path):
    from fleetmint.gateway.config import load_config
    from fleetmint.gateway.denied import rules_path
    from fleetmint.gateway.publish import bundle_path
    from fleetmint.x509.listeners import LISTENERS

    (tmp_path / "gateway.toml").write_text(signing_service.render("etc/fleetmint/gateway.toml.j2"))
    config = load_config(tmp_path / "gateway.toml")
    names = {name for policy in LISTENERS.values() for name in policy.authorities}
    wanted = {config.crl(name) for name in names} | {config.trusted(name) for name in names}
    wanted |= {bundle_path(config, server, listener) for server in ("nginx", "mosquitto") for listener in LISTENERS}
    wanted.add(rules_path(config))
    lines = signing_service.render(f"{UNITS}/fleetmint-publish.path.j2").splitlines()
    assert {line for line in lines if line.startswith("Path")} == {f"PathChanged={path}" for path in wanted}


@pytest.mark.parametrize("name", [AT_START, ON_CHANGE, "fleetmint-publish@.service"])
def test_what_publishes_writes_its_own_directories_only(signing_service, name):
    service = unit(signing_service.render(f"{UNITS}/{name}.j2"))["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "true"
    assert "CAP_SYS_ADMIN" not in service["CapabilityBoundingSet"].split()


def test_what_the_service_writes_to_the_journal_is_what_the_site_wants(signing_service, tmp_path):
    from fleetmint.gateway.config import load_config

    for wanted in ("text", "json"):
        text = signing_service.render("etc/fleetmint/gateway.toml.j2", signing_service_log_format=wanted)
        (tmp_path / "gateway.toml").write_text(text)
        assert load_config(tmp_path / "gateway.toml").log_format == wanted


def test_systemd_calls_the_service_started_when_it_answers_and_waits_as_long_as_that_may_take(signing_service):
    service = unit(signing_service.render(f"{UNITS}/fleetmint.service.j2"))["Service"]
    words = service["ExecStartPost"].split()
    assert words[1:3] == ["-m", "fleetmint.gateway.service_socket"]
    assert int(words[words.index("--seconds") + 1]) < int(service["TimeoutStartSec"])
