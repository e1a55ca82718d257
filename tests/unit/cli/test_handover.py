"""Registering and handing over: at a gateway's real door (TLS, the service behind it) and with signed files."""

import json
import ssl
import threading
from datetime import timedelta
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from gateway_site import make_gateway_site
from werkzeug.serving import WSGIRequestHandler, make_server

from fleetmint.cli import root
from fleetmint.ledger import factory, open_ledger, reading, writing
from fleetmint.ledger.devices import list_devices
from fleetmint.ledger.revocation import revoke
from fleetmint.ledger.schema import events
from fleetmint.pki import keys
from fleetmint.pki.authority import pem
from fleetmint.service.app import create_app

MAC = "24:0a:c4:00:00:01"


@pytest.fixture
def gateway_side(tmp_path_factory):
    return make_gateway_site(
        tmp_path_factory.mktemp("there") / "gateway", tmp_path_factory.getbasetemp() / "gateway-template"
    )


@pytest.fixture
def hierarchy(gateway_side, tmp_path):
    """The site's CAs are those of the gateway; the state has them where it always has them."""
    (tmp_path / "ca").symlink_to(gateway_side.hierarchy.directory)
    return gateway_side.hierarchy


class _Quiet(WSGIRequestHandler):
    def log(self, *_arguments) -> None:
        pass


@pytest.fixture
def door(gateway_side, state, now, tmp_path):
    """The operators' door: what nginx does there, done by Python's own TLS."""
    app = create_app(gateway_side.config)

    def behind_nginx(environ, start_response):
        shown = environ.get("SSL_CLIENT_CERT", "")
        environ |= {"FLEETMINT_DOOR": "operators", "FLEETMINT_VERIFY": "SUCCESS" if shown else "NONE"}
        environ["FLEETMINT_CERT"] = quote(shown, safe="")
        return app(environ, start_response)

    server, key = gateway_side.hierarchy.authority("server"), keys.new_key()
    leaf = server.issue("server", key.public_key(), "localhost", now=now, sans=["localhost", "127.0.0.1"])
    (tmp_path / "server.pem").write_bytes(pem(leaf) + keys.plain_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    (tmp_path / "server.pem").unlink()
    context.verify_mode = ssl.CERT_OPTIONAL
    for name in ("root", "operator"):
        context.load_verify_locations(gateway_side.config.trust / f"{name}.crt")
    listener = make_server("127.0.0.1", 0, behind_nginx, ssl_context=context, request_handler=_Quiet)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    site = json.loads((state / "site.json").read_text())
    site["gateways"] = {"gateway": {"host": "127.0.0.1", "https_port": listener.port, "mqtt_port": 1}}
    (state / "site.json").write_text(json.dumps(site))
    yield
    listener.shutdown()
    thread.join()
    listener.server_close()
    app.extensions["fleetmint"].engine.dispose()


@pytest.fixture
def bench(state, now):
    """Do something in the factory's ledger, a second later each time."""
    seconds = iter(range(1000))

    def run(function, *arguments, **options):
        engine = open_ledger(f"sqlite:///{state}/ledger.sqlite")
        with writing(engine) as connection:
            done = function(connection, *arguments, now=now + timedelta(seconds=next(seconds)), **options)
        engine.dispose()
        return done

    return run


@pytest.fixture
def burned(bench):
    def run(device=None, number=1):
        unit = bench(factory.claim, "first", f"24:0a:c4:00:00:{number:02x}", "slot", port="p")
        return bench(factory.record_burned, unit.device, "slot")

    return run


def known(gateway_side):
    with gateway_side.reading() as connection:
        return {each.device: (each.status, each.mac, each.result) for each in list_devices(connection)}


def registered(state):
    engine = open_ledger(f"sqlite:///{state}/ledger.sqlite")
    with reading(engine) as connection:
        found = [unit.device for unit in factory.list_units(connection, "first") if unit.registered_at]
    engine.dispose()
    return found


@pytest.mark.usefixtures("door")
def test_a_batch_is_registered_burned_and_handed_over_and_both_sides_agree(fleetmint, gateway_side, state, burned):
    assert fleetmint("batch", "register", "first", "--check", "--json")["added"] == 2
    assert (known(gateway_side), registered(state)) == ({}, [])
    said = fleetmint("batch", "register", "first", "--json")
    assert said == {"as": "bench@test", "changed": True, "kept": [], "added": 2, "replaced": 0, "unchanged": 0}
    assert registered(state) == ["lamp-000001", "lamp-000002"]
    assert "2 unchanged" in fleetmint("batch", "register", "first").stdout
    burned()
    assert "the gateway says none" in fleetmint("audit", "--ask-gateway").stdout
    assert fleetmint("batch", "handover", "first", "--json")["updated"] == 1
    again = fleetmint("batch", "handover", "first", "--json")
    assert (again["changed"], again["unchanged"]) == (False, 1)
    assert known(gateway_side)["lamp-000001"] == ("registered", MAC, "burned")
    assert fleetmint("audit", "--ask-gateway", "--json") == {"findings": []}
    with gateway_side.reading() as connection:
        assert {row.actor for row in connection.execute(events.select())} == {"bench@test"}


@pytest.mark.usefixtures("door")
def test_a_large_batch_goes_in_parts(fleetmint, gateway_side, monkeypatch):
    monkeypatch.setattr("fleetmint.cli.handover.LARGEST", 300)
    assert fleetmint("batch", "register", "first", "--json")["added"] == 2
    assert len(known(gateway_side)) == 2
    with gateway_side.reading() as connection:
        assert len(connection.execute(events.select()).all()) == 2


@pytest.mark.usefixtures("door")
def test_a_device_that_the_gateway_keeps_as_it_is_does_not_count_as_registered(
    fleetmint, gateway_side, state, now, bench
):
    fleetmint("batch", "register", "first")
    with gateway_side.writing() as connection:
        revoke(connection, "lamp-000001", reason="unspecified", actor="test", now=now)
    engine = open_ledger(f"sqlite:///{state}/ledger.sqlite")
    with writing(engine) as connection:
        connection.exec_driver_sql("update units set registered_at = null")
    engine.dispose()
    said = fleetmint("batch", "register", "first")
    assert "lamp-000001 is kept as it is: the device is revoked" in said.stdout
    assert registered(state) == ["lamp-000002"]


@pytest.mark.usefixtures("door")
def test_nobody_but_the_station_tells_the_gateway_and_a_refusal_says_why(fleetmint, gateway_side, refused, state):
    refused(fleetmint("batch", "register", "first", "--as", "alice@test"), "403", "alice@test is no station")
    refused(fleetmint("batch", "register", "first", "--as", "nobody@test"), "no usable certificate")
    assert (known(gateway_side), registered(state)) == ({}, [])
    path = state / "batches/first/registration.json"
    path.write_text(path.read_text().replace('"site": "test"', '"site": "other"'))
    refused(fleetmint("batch", "register", "first"), "409", "the document's site is 'other'")
    path.write_text("{")
    refused(fleetmint("batch", "register", "first"), "is damaged")
    refused(fleetmint("batch", "handover", "second"), "there is no batch second")


def test_without_a_network_signed_files_do_it(fleetmint, gateway_side, state, burned, tmp_path, monkeypatch):
    monkeypatch.setenv("FLEETMINT_CONFIG", str(gateway_side.config_path))

    def bring(name):
        result = CliRunner().invoke(root, ["gateway", "import", str(tmp_path / name), "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    told = fleetmint("batch", "register", "first", "--to", tmp_path / "first.registration")
    assert "2 devices of first, signed by bench@test" in told.stdout
    assert registered(state) == ["lamp-000001", "lamp-000002"]
    assert bring("first.registration")["added"] == 2
    burned()
    assert fleetmint("batch", "handover", "first", "--to", tmp_path / "first.handover", "--json")["devices"] == 1
    assert bring("first.handover")["updated"] == 1
    assert known(gateway_side)["lamp-000001"][1] == MAC
    assert gateway_side.findings() == ()
    assert bring("first.registration")["changed"] is False
    text = (tmp_path / "first.registration").read_text() + (tmp_path / "first.handover").read_text()
    assert "PRIVATE" not in text


def test_a_gateway_that_is_away_is_told_with_the_way_round_it(fleetmint, state, refused):
    site = json.loads((state / "site.json").read_text())
    site["gateways"] = {"gateway": {"host": "127.0.0.1", "https_port": 1, "mqtt_port": 1}}
    (state / "site.json").write_text(json.dumps(site))
    refused(fleetmint("batch", "register", "first"), "is the gateway up?", "--to writes a file")
    assert registered(state) == []
