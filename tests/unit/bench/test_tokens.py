"""Another token in a board's NVS: everything else as it was, on virtual boards with the real esptool."""

import pytest

from fleetmint.bench import tokens
from fleetmint.documents.token import Token
from fleetmint.errors import BurnError
from fleetmint.flash.burn import Worker
from fleetmint.flash.table import TABLE_OFFSET, stock
from fleetmint.nvs import keys
from fleetmint.nvs.decode import decode, decode_typed
from fleetmint.nvs.encode import encode
from fleetmint.nvs.values import Value
from virtual.esp32 import fleet

TABLE = stock("4MiB")
NVS = TABLE.find("nvs")
TOKEN = Token("lamp-000001", "00112233445566778899aabbccddeeff", "2027-11-22T00:00:00Z")
# What a device has made of its NVS: its own key and certificate, and what Wi-Fi and the product keep in theirs.
ENTRIES = {
    keys.NAMESPACE: {
        keys.DEVICE_ID: b"lamp-000001",
        keys.TOKEN: b"an older one",
        keys.KEYS[0]: bytes(range(138)),
        keys.CERTIFICATES[0]: bytes(600),
        keys.SLOT: 0,
    },
    "nvs.net80211": {"opmode": Value("u8", 1), "sta.ssid": b"\x08workshop", "bytes": Value("i64", -5)},
    "product": {"name": Value("string", "Lämpchen".encode()), "hours": Value("u32", 4_000_000_000)},
}


def typed(image):
    return {(space, key): value for space, values in decode_typed(image).items() for key, value in values.items()}


def test_every_other_entry_stays_with_its_type():
    before = encode(ENTRIES, NVS.size)
    after = tokens.with_token(before, TOKEN)
    assert len(after) == NVS.size
    location = (keys.NAMESPACE, keys.TOKEN)
    assert typed(after) == typed(before) | {location: ("blob", TOKEN.token.encode())}
    assert b"an older one" not in after


def test_an_entry_that_no_device_can_read_does_not_stand_in_the_way():
    image = bytearray(encode(ENTRIES, NVS.size))
    at = image.index(b"sta.ssid")
    image[at] ^= 0xFF
    after = tokens.with_token(bytes(image), TOKEN)
    assert decode(after)[keys.NAMESPACE][keys.KEYS[0]] == bytes(range(138))
    assert "sta.ssid" not in decode(after)["nvs.net80211"]


def test_the_nvs_of_another_device_or_of_none_is_refused():
    other = encode({keys.NAMESPACE: {keys.DEVICE_ID: b"lamp-000002"}}, NVS.size)
    with pytest.raises(BurnError, match="is 'lamp-000002', and this is for lamp-000001: nothing was written"):
        tokens.with_token(other, TOKEN)
    with pytest.raises(BurnError, match="holds no identity"):
        tokens.with_token(b"\xff" * NVS.size, TOKEN)


@pytest.fixture
def board(tmp_path):
    """A board that was burned and has worked: a flash of its own, and a port."""
    flash = bytearray(b"\xff" * 0x400000)
    flash[TABLE_OFFSET : TABLE_OFFSET + 0xC00] = TABLE.to_bytes()
    flash[NVS.offset : NVS.offset + NVS.size] = encode(ENTRIES, NVS.size)
    flash[0x10000:0x10100] = bytes(range(256))
    (tmp_path / "boards/1").mkdir(parents=True)
    (tmp_path / "boards/1/flash.bin").write_bytes(flash)

    def up(*options):
        (port,) = fleet.up(tmp_path, 1, [*options, "--boot", "sleep", "60"])
        return str(port), lambda: (tmp_path / "boards/1/flash.bin").read_bytes()

    yield up
    fleet.down(tmp_path)


def never(_error):
    raise AssertionError("nobody was to be asked")


def write(port, token=TOKEN, again=never):
    with Worker(port) as worker:
        found, nvs = tokens.check_board(worker, token.device)
        tokens.write_token(worker, found, nvs, token, again)
        return found


def test_a_board_gets_the_token_and_nothing_else_changes(board):
    port, flash = board()
    before = flash()
    assert write(port).mac == "24:0a:c4:00:00:01"
    after = flash()
    assert decode(after[NVS.offset : NVS.offset + NVS.size])[keys.NAMESPACE][keys.TOKEN] == TOKEN.token.encode()
    assert after[: NVS.offset] == before[: NVS.offset]
    assert after[NVS.offset + NVS.size :] == before[NVS.offset + NVS.size :]


def test_a_board_of_another_device_is_refused_and_its_flash_stays(board):
    port, flash = board()
    before = flash()
    with pytest.raises(BurnError, match=r"\(24:0a:c4:00:00:01\) is 'lamp-000001', not 'lamp-000002': nothing was"):
        write(port, Token("lamp-000002", "x", "2027-11-22T00:00:00Z"))
    assert flash() == before


def test_a_cable_that_was_pulled_costs_no_key_when_the_board_comes_back(board):
    port, flash = board("--fault", "drop=0")
    asked = []

    def again(error):
        asked.append(str(error))
        board()  # the cable is in again
        return len(asked) < 5

    write(port, again=again)
    values = decode(flash()[NVS.offset : NVS.offset + NVS.size])[keys.NAMESPACE]
    assert (values[keys.TOKEN], values[keys.KEYS[0]]) == (TOKEN.token.encode(), bytes(range(138)))
    assert "connection was lost" in asked[0]


def test_whoever_does_not_go_on_is_told_why(board):
    port, _ = board("--fault", "drop=0")
    with pytest.raises(BurnError, match="connection was lost"):
        write(port, again=lambda _error: False)


def test_reading_the_nvs_needs_a_board_that_is_held(board):
    port, _ = board()
    with Worker(port) as worker, pytest.raises(BurnError, match="holds no identity"):
        worker.read_nvs()
