"""A revocation is one step wherever it is typed: the gateway has it in force, or the command says what is missing."""

import json
import re
import socket
from datetime import timedelta

import pytest

from fleetmint.errors import FleetmintError
from fleetmint.ledger.devices import list_devices
from fleetmint.ledger.revocation import revoke_listed
from fleetmint.ledger.schema import certificates
from fleetmint.site.client import open_gateway
from fleetmint.site.state import Site
from fleetmint.x509.authority import load_certificate, pem
from fleetmint.x509.listeners import LISTENERS
from tests.support.gateway_site import new_key


@pytest.fixture(autouse=True)
def _registered(listener, fleetmint, gateway_side, state, now):
    """Nothing has been published yet but what the play puts there at first."""
    fleetmint("batch", "register", "first")
    assert fleetmint("batch", "handover", "first", "--json")["updated"] == 0
    assert fleetmint("revoke", "bob@test", "--json")["gateways"] == [
        {"gateway": "gateway", "in_force": True, "problem": ""}
    ]


@pytest.fixture
def in_force(gateway_side, openssl):
    """The serial numbers that a server refuses at a listener, as openssl reads them, and the statuses in the ledger."""

    def look(name):
        found = set()
        for server in (gateway_side.config.nginx, gateway_side.config.mosquitto):
            bundle = (server / f"{name}.crl.pem").read_text()
            blocks = re.findall(r"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----\n", bundle, re.DOTALL)
            assert len(blocks) == len(LISTENERS[name].authorities)
            texts = [openssl("crl", "-noout", "-text", data=block.encode()).stdout.decode() for block in blocks]
            found.add(tuple(int(each, 16) for text in texts for each in re.findall(r"Serial Number: (\w+)", text)))
        (both,) = found
        return set(both)

    return look


def statuses(gateway_side):
    with gateway_side.reading() as connection:
        return {each.device: (each.status, each.serial) for each in list_devices(connection)}


def test_a_device_whose_key_the_factory_made(fleetmint, gateway_side, in_force):
    _, serial = statuses(gateway_side)["lamp-000002"]
    said = fleetmint("revoke", "lamp-000002", "--reason", "key_compromise")
    assert said.exit_code == 0
    assert "In force at gateway" in said.stdout
    assert serial in in_force("devices")
    assert statuses(gateway_side)["lamp-000002"] == ("revoked", None)
    assert gateway_side.findings() == ()
    again = fleetmint("revoke", "lamp-000002", "--json")
    assert (again["changed"], again["gateways"][0]["in_force"]) == (False, True)


def test_the_controller_keeps_the_list_that_the_gateway_has_signed(fleetmint, gateway_side, state, openssl, now):
    leaf = gateway_side.device_ca.issue("device", new_key().public_key(), "lamp-000001", now=now)
    (state / "found.crt").write_bytes(pem(leaf))
    fleetmint("revoke", state / "found.crt")
    kept = state / "heads/gateway.crl"
    assert kept.read_bytes() == gateway_side.config.device_crl.read_bytes()
    assert b"CRL Number" in openssl("crl", "-in", kept, "-noout", "-text").stdout


@pytest.mark.parametrize("by", ["id", "file"])
def test_a_device_that_makes_its_key_itself(fleetmint, gateway_side, by, tmp_path, now, in_force):
    leaf = gateway_side.device_ca.issue("device", new_key().public_key(), "lamp-000001", now=now)
    (tmp_path / "found.crt").write_bytes(pem(leaf))
    said = fleetmint("revoke", {"id": "lamp-000001", "file": tmp_path / "found.crt"}[by], "--json")
    assert (said["changed"], said["gateways"][0]["in_force"]) == (True, True)
    assert statuses(gateway_side)["lamp-000001"] == ("revoked", None)
    assert fleetmint("revoke", "lamp-000001", "--json")["changed"] is False


def test_what_no_gateway_knows_is_not_called_revoked(fleetmint, refused):
    refused(fleetmint("revoke", "never-made"), "never-made was not revoked", "no gateway of this site knows it")


def test_a_factory_certificate_by_its_serial_number_alone(fleetmint, gateway_side, in_force, state):
    _, serial = statuses(gateway_side)["lamp-000002"]
    (state / "batches/first/registration.json").unlink()  # made elsewhere, as far as this state knows
    fleetmint("revoke", f"{serial:x}", "--ca", "factory")
    assert serial in in_force("devices")
    assert statuses(gateway_side)["lamp-000002"] == ("revoked", None)


@pytest.mark.parametrize(
    "command", [("revoke", "alice@test"), ("operator", "revoke", "alice@test"), ("operator", "replace", "alice@test")]
)
def test_an_operator(fleetmint, state, in_force, command):
    serial = load_certificate(state / "issued/operators/alice@test.crt").serial_number
    said = fleetmint(*command)
    assert said.exit_code == 0, said.output
    assert "In force at gateway" in said.stdout
    assert serial in in_force("operators")


def test_the_station_itself_is_told_to_go_another_way(fleetmint):
    said = fleetmint("operator", "revoke", "bench@test")
    assert said.exit_code == 1
    assert "NOT in force yet at gateway" in said.stdout
    assert "playbooks/gateway.yml --tags service,certificates" in said.stdout


@pytest.mark.parametrize("device", ["lamp-000001", "lamp-000002"])
def test_a_board_that_comes_back(fleetmint, gateway_side, burned, in_force, device):
    burned(1)
    burned(2)
    fleetmint("batch", "handover", "first")
    before = statuses(gateway_side)[device]
    said = fleetmint("device", "return", device, "--reason", "broken")
    assert (said.exit_code, "In force at gateway" in said.stdout) == (0, True)
    assert statuses(gateway_side)[device] == ("revoked", None)
    assert device == "lamp-000001" or before[1] in in_force("devices")


def test_another_owner(fleetmint, gateway_side, in_force, tmp_path):
    _, serial = statuses(gateway_side)["lamp-000002"]
    said = fleetmint("device", "transfer", "lamp-000002", "--owner", "Bob", "--to", tmp_path / "token")
    assert (said.exit_code, "In force at gateway" in said.stdout) == (0, True)
    assert serial in in_force("devices")
    assert statuses(gateway_side)["lamp-000002"] == ("registered", None)


@pytest.mark.parametrize("away", ["publisher", "gateway"])
def test_what_is_not_in_force_is_said_with_the_command_and_an_exit_code(
    fleetmint, gateway_side, state, in_force, away, burned
):
    burned()
    fleetmint("batch", "handover", "first")
    _, serial = statuses(gateway_side)["lamp-000002"]
    kept = gateway_side.config.publish_socket.rename(gateway_side.root / "away")
    text = (state / "site.json").read_text()
    if away == "gateway":
        kept.rename(gateway_side.config.publish_socket)
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
        site = json.loads(text)
        site["gateways"]["gateway"]["https_port"] = port
        (state / "site.json").write_text(json.dumps(site))
    said = fleetmint("revoke", "lamp-000002")
    assert said.exit_code == 1
    assert "NOT in force yet at gateway" in said.stdout
    assert "playbooks/revoke.yml -e device=lamp-000002" in said.stdout
    assert serial not in in_force("devices")
    if away == "publisher":
        back = fleetmint("device", "return", "lamp-000001", "--reason", "broken")
        assert (back.exit_code, "NOT in force yet" in back.stdout) == (1, True)
        kept.rename(gateway_side.config.publish_socket)
    (state / "site.json").write_text(text)
    assert fleetmint("revoke", "lamp-000002").exit_code == 0  # the same command, and nothing is left to do
    assert serial in in_force("devices")


def test_a_list_that_forgets_or_is_not_the_sites_changes_nothing(fleetmint, hierarchy, gateway_side, state, in_force):
    old = (hierarchy.directory / "factory/crl.pem").read_text()
    fleetmint("revoke", "lamp-000002")
    before = gateway_side.config.crl("factory").read_bytes()
    gateway = open_gateway(Site(state), None, None)
    for lists, words in [
        ({"factory": old}, "older list"),
        ({"factory": (hierarchy.directory / "operator/crl.pem").read_text()}, "not signed by the factory CA"),
        ({"factory": "garbage"}, "is no CRL"),
    ]:
        answer = gateway.post("/v1/revocations", json.dumps({"lists": lists}).encode())
        assert answer["in_force"] is False
        assert words in answer["problems"][0]
        assert gateway_side.config.crl("factory").read_bytes() == before
    for document in [
        {"lists": {"../x": old}},
        {"lists": {"device": old}},
        {"devices": "x"},
        {"reason": "x"},
        {"devices": ["X"]},
    ]:
        with pytest.raises(FleetmintError, match="answered 409"):
            gateway.post("/v1/revocations", json.dumps(document).encode())


def test_only_the_station_may(state):
    with pytest.raises(FleetmintError, match="answered 403"):
        open_gateway(Site(state), "alice@test", None).post("/v1/revocations", b'{"devices": ["lamp-000001"]}')


def test_a_device_with_another_certificate_goes_on_without_the_one_of_the_factory(gateway_side, now):
    _, serial = statuses(gateway_side)["lamp-000002"]
    with gateway_side.writing() as connection:
        (row,) = connection.execute(certificates.select()).mappings()
        connection.execute(certificates.update().values(confirmed_at=now, superseded_at=now + timedelta(1)))
        renewed = {"serial": "0abc", "issuer": "device", "predecessor": row["serial"], "confirmed_at": now}
        later = {"reserved_at": now + timedelta(seconds=1), "not_after": now + timedelta(1)}
        connection.execute(certificates.insert().values(**{**row, **renewed, **later, "superseded_at": None}))
        assert revoke_listed(connection, {serial: "superseded"}, actor="test", now=now) == []
    assert statuses(gateway_side)["lamp-000002"] == ("active", 0xABC)


def rules_of(gateway_side):
    return (gateway_side.config.mosquitto / "devices.acl").read_text()


@pytest.fixture
def broker_rules(gateway_side):
    (gateway_side.config.mosquitto / "devices.acl").write_text("pattern write devices/%u/out/#\n")


def test_what_the_factory_issued_is_listed_in_the_same_step_when_only_a_gateway_knows_of_it(
    fleetmint, gateway_side, in_force, state, broker_rules
):
    _, serial = statuses(gateway_side)["lamp-000002"]
    (state / "batches/first/registration.json").unlink()  # made elsewhere, as far as this state knows
    said = fleetmint("revoke", "lamp-000002", "--json")
    assert (said["changed"], said["gateways"]) == (True, [{"gateway": "gateway", "in_force": True, "problem": ""}])
    assert serial in in_force("devices")
    assert statuses(gateway_side)["lamp-000002"] == ("revoked", None)
    assert "lamp-000002" not in rules_of(gateway_side)
    assert fleetmint("revoke", "lamp-000002", "--json")["changed"] is False


@pytest.mark.parametrize("known", [True, False], ids=["known here", "known to the gateway"])
def test_without_the_key_of_the_factory_ca_the_gateways_shut_the_device_out_and_the_rest_is_said(
    fleetmint, gateway_side, hierarchy, in_force, state, broker_rules, known
):
    _, serial = statuses(gateway_side)["lamp-000002"]
    if not known:
        (state / "batches/first/registration.json").unlink()
    key = hierarchy.directory / "factory/ca.key"
    away = key.rename(key.with_name("away"))
    said = fleetmint("revoke", "lamp-000002")
    assert said.exit_code == 1
    assert "NOT in force yet at the factory CA: its CRL cannot be signed here" in said.stdout
    assert "playbooks/revoke.yml -e device=lamp-000002" in said.stdout
    assert "In force at gateway" in said.stdout
    assert statuses(gateway_side)["lamp-000002"] == ("revoked", None)
    assert rules_of(gateway_side).endswith("user lamp-000002\ntopic deny #\n")
    assert serial not in in_force("devices")
    away.rename(key)
    assert fleetmint("revoke", "lamp-000002").exit_code == 0
    assert serial in in_force("devices")
    assert "lamp-000002" not in rules_of(gateway_side)


def test_typed_on_the_gateway_it_is_one_step_too_and_the_command_for_the_list_can_be_pasted(
    fleetmint, gateway_side, in_force, broker_rules
):
    _, serial = statuses(gateway_side)["lamp-000002"]
    there = ("gateway", "--config", gateway_side.config_path)
    said = fleetmint(*there, "revoke", "lamp-000002")
    assert said.exit_code == 0, said.output
    assert re.search(r"run `fleetmint revoke lamp-000002` on the controller$", said.stdout)
    assert statuses(gateway_side)["lamp-000002"] == ("revoked", None)
    assert rules_of(gateway_side).endswith("user lamp-000002\ntopic deny #\n")
    told = fleetmint(*there, "superseded", "--json")
    assert told == {"factory": [], "factory_revoked": [f"{serial:x}"]}
    done = fleetmint(*there, "revoke", "lamp-000001", "--json")
    assert (done["in_force"], done["unlisted"], done["problems"]) == (True, {}, [])

    assert fleetmint("revoke", "lamp-000002").exit_code == 0
    assert serial in in_force("devices")
    assert "lamp-000002" not in rules_of(gateway_side)
    again = fleetmint(*there, "revoke", "lamp-000002")
    assert again.stdout == "lamp-000002 was revoked before\n"
    assert fleetmint(*there, "superseded", "--json")["factory_revoked"] == []
