"""Tokens, returns and changes of owner, at a gateway's real listener and with a virtual board."""

import hashlib
import json

import pytest

from fleetmint.documents import token as tokens
from fleetmint.documents.reach import Reach
from fleetmint.flash.burn import Worker
from fleetmint.flash.table import TABLE_OFFSET, stock
from fleetmint.ledger import factory, open_ledger, reading
from fleetmint.ledger.devices import list_devices
from fleetmint.ledger.schema import events
from fleetmint.ledger.schema import tokens as rows
from fleetmint.nvs import keys
from fleetmint.nvs.decode import decode
from fleetmint.nvs.encode import encode
from virtual.esp32 import fleet

pytestmark = pytest.mark.usefixtures("listener")
NVS = stock("4MiB").find("nvs")


@pytest.fixture(autouse=True)
def registered(fleetmint, listener):
    assert fleetmint("batch", "register", "first").exit_code == 0


@pytest.fixture
def board(tmp_path):
    """The board of lamp-000001: its port, and what its NVS says."""
    flash = bytearray(b"\xff" * 0x400000)
    flash[TABLE_OFFSET : TABLE_OFFSET + 0xC00] = stock("4MiB").to_bytes()
    entries = {keys.NAMESPACE: {keys.DEVICE_ID: b"lamp-000001", keys.TOKEN: b"old", keys.KEYS[0]: bytes(138)}}
    flash[NVS.offset : NVS.offset + NVS.size] = encode(entries, NVS.size)
    (tmp_path / "boards/1").mkdir(parents=True)
    path = tmp_path / "boards/1/flash.bin"
    path.write_bytes(flash)
    (port,) = fleet.up(tmp_path, 1, ["--boot", "sleep", "60"])
    yield str(port), lambda: decode(path.read_bytes()[NVS.offset : NVS.offset + NVS.size])[keys.NAMESPACE]
    fleet.down(tmp_path)


def unused(gateway_side, device):
    with gateway_side.reading() as connection:
        wanted = (rows.c.device == device, rows.c.state == "unused")
        return connection.execute(rows.select().where(*wanted)).one().token_sha256


def statuses(gateway_side):
    with gateway_side.reading() as connection:
        return {each.device: each.status for each in list_devices(connection)}


def test_a_token_goes_through_a_file_into_the_board(fleetmint, gateway_side, board, tmp_path):
    port, nvs = board
    file = tmp_path / "lamp.token"
    made = fleetmint("token", "new", "lamp-000001", "--to", file, "--days", "9")
    token = json.loads(file.read_text())["token"]
    assert tokens.load_contact(file)[1].reach == Reach("127.0.0.1", 443, 8883)
    assert token not in made.output
    assert unused(gateway_side, "lamp-000001") == hashlib.sha256(token.encode()).hexdigest()
    written = fleetmint("token", "write", "lamp-000001", "--from", file, "--port", port)
    assert "in the board at" in written.stdout
    assert token not in written.output
    assert nvs()[keys.TOKEN] == token.encode()
    assert nvs()[keys.KEYS[0]] == bytes(138)
    assert gateway_side.findings() == ()


def test_a_token_is_written_at_once_and_only_into_the_right_board(fleetmint, gateway_side, board, refused):
    port, nvs = board
    before = unused(gateway_side, "lamp-000001")
    refused(fleetmint("token", "new", "lamp-000002", "--port", port), "is 'lamp-000001', not 'lamp-000002'")
    assert fleetmint("token", "new", "lamp-000001", "--port", port, "--json")["device"] == "lamp-000001"
    digest = hashlib.sha256(nvs()[keys.TOKEN]).hexdigest()
    assert unused(gateway_side, "lamp-000001") == digest != before


def test_a_token_that_the_gateway_refuses_is_kept_nowhere(fleetmint, tmp_path, refused):
    file = tmp_path / "x.token"
    refused(fleetmint("token", "new", "lamp-000009", "--to", file), "409", "no device 'lamp-000009'")
    refused(fleetmint("token", "new", "lamp-000001", "--to", file, "--as", "alice@test"), "403", "no station")
    assert not file.exists()
    assert fleetmint("token", "new", "lamp-000001").exit_code == 2
    assert fleetmint("token", "new", "lamp-000001", "--to", file, "--port", "/dev/null").exit_code == 2


def test_a_file_that_is_there_is_not_written_over(fleetmint, gateway_side, tmp_path, refused):
    file = tmp_path / "x.token"
    file.write_text("the only copy of something")
    before = unused(gateway_side, "lamp-000001")
    refused(fleetmint("token", "new", "lamp-000001", "--to", file), "already", "name another file")
    assert file.read_text() == "the only copy of something"
    assert unused(gateway_side, "lamp-000001") == before


def test_a_board_boots_again_when_its_gateway_refuses_the_token(fleetmint, board, refused, monkeypatch):
    port, nvs = board
    released = []
    monkeypatch.setattr(
        "fleetmint.cli.bench.token.Worker.release",
        lambda self, do=Worker.release: released.append(self.port) or do(self),
    )
    refused(fleetmint("token", "new", "lamp-000001", "--port", port, "--as", "alice@test"), "403")
    assert released == [port]
    assert nvs()[keys.TOKEN] == b"old"


def test_a_device_that_changes_its_owner_gets_a_token_and_loses_what_it_had(fleetmint, gateway_side, tmp_path):
    assert statuses(gateway_side)["lamp-000002"] == "active"
    file = tmp_path / "lamp.token"
    said = fleetmint("device", "transfer", "lamp-000002", "--owner", "Bob, Berlin", "--to", file)
    assert "lamp-000002 belongs to Bob, Berlin from now on" in said.stdout
    assert statuses(gateway_side)["lamp-000002"] == "registered"
    with gateway_side.reading() as connection:
        (event,) = [row for row in connection.execute(events.select()) if row.kind == "transfer"]
    assert (event.actor, json.loads(event.detail)["owner"]) == ("bench@test", "Bob, Berlin")
    assert gateway_side.findings() == ()


def test_a_board_that_comes_back_ends_its_identity_on_both_sides(fleetmint, gateway_side, state, burned, refused):
    burned()
    fleetmint("batch", "handover", "first")
    said = fleetmint("device", "return", "lamp-000001", "--reason", "display broken")
    assert "its board 24:0a:c4:00:00:01 may get another identity" in said.stdout
    assert "In force at gateway" in said.stdout
    assert statuses(gateway_side)["lamp-000001"] == "revoked"
    assert fleetmint("device", "return", "lamp-000001", "--reason", "again").exit_code == 0
    assert burned().device == "lamp-000002"
    assert fleetmint("batch", "handover", "first", "--json")["updated"] == 1
    assert fleetmint("audit", "--ask-gateway", "--json") == {"findings": []}
    refused(fleetmint("device", "return", "lamp-000009", "--reason", "x"), "no unit 'lamp-000009'")
    engine = open_ledger(f"sqlite:///{state}/ledger.sqlite")
    with reading(engine) as connection:
        reasons = [unit.reason for unit in factory.list_units(connection, "first")]
    engine.dispose()
    assert reasons[0] == "display broken"


def test_without_a_network_a_return_is_a_signed_file(fleetmint, burned, tmp_path):
    burned()
    said = fleetmint("device", "return", "lamp-000001", "--reason", "broken", "--to", tmp_path / "back.handover")
    assert "Bring it to the gateway" in said.stdout
    assert (tmp_path / "back.handover").exists()
