"""The order of the steps, which boards are refused, and what counts as done: without a board."""

from dataclasses import replace
from itertools import chain

import pytest

from fleetmint.bench.secure_steps import (
    BOOT,
    DOWNLOAD,
    FLASH,
    IMAGES,
    KEYS,
    PROTECT,
    Keys,
    is_burned,
    refuse_used,
    steps,
)
from fleetmint.errors import BurnError
from fleetmint.flash.efuse import CHIPS_WITH_HMAC, FIELDS, Efuses, Field, KeyBlock, Order, burn_efuses, read_efuses

MAC = "24:0a:c4:00:00:01"
FLASH_KEY, HMAC_KEY, DIGEST, SECOND = bytes(range(32)), bytes(range(32, 64)), b"d" * 32, b"s" * 32
WANTED = Keys(FLASH_KEY, (DIGEST,), HMAC_KEY)
EMPTY = tuple(KeyBlock(number, "USER", True, True, bytes(32)) for number in range(6))


def board(fields=None, locked=(), **blocks):
    """Return a new board, but for these fields and key blocks (`key1=(purpose, data)`)."""
    made = list(EMPTY)
    for name, (purpose, data) in blocks.items():
        number = int(name[-1])
        sealed = data == "sealed"
        made[number] = KeyBlock(number, purpose, not sealed, not sealed, bytes(32) if sealed else data, fixed=sealed)
    values = {name: Field((fields or {}).get(name, 0), name not in locked) for name in FIELDS}
    return Efuses(MAC, "esp32s3", tuple(made), values)


def refuse(efuses, keys=WANTED, *, begun=False, hmac_begun=False):
    refuse_used("port", keys, efuses, begun=begun, hmac_begun=hmac_begun)


def test_the_order_lets_no_cut_leave_a_board_that_cannot_be_finished():
    names = [step.name for step in steps(WANTED, board(), "app.bin")]
    assert names[0] == IMAGES
    # firmware that starts could lock what is to be closed, so nothing starts before that
    assert names.index(KEYS) < names.index(PROTECT) < names.index(BOOT) < names.index(FLASH)
    assert names[-1] == DOWNLOAD


def test_the_hmac_key_lies_where_the_firmware_looks_and_the_others_behind():
    placed = [(each.block, each.purpose) for each in replace(WANTED, hmac_block=1, digests=(DIGEST, SECOND)).burns()]
    assert placed == [(1, "HMAC_UP"), (0, "XTS_AES_128_KEY"), (2, "SECURE_BOOT_DIGEST0"), (3, "SECURE_BOOT_DIGEST1")]
    assert [each.block for each in replace(WANTED, hmac=None).burns()] == [0, 1]


def test_every_slot_of_secure_boot_that_is_not_used_is_ruled_out():
    for digests, revoked in (((DIGEST,), {1, 2}), ((DIGEST, SECOND), {2}), ((DIGEST, SECOND, HMAC_KEY), set())):
        (boot,) = (each for each in steps(replace(WANTED, digests=digests), board(), "f") if each.name == BOOT)
        assert {int(name[-1]) for name in boot.order.fields if "REVOKE" in name} == revoked


@pytest.mark.parametrize("chip", CHIPS_WITH_HMAC)
def test_each_chip_has_all_that_the_steps_burn(tmp_path, chip):
    port = f"virtual:{chip}:{tmp_path / 'efuses.bin'}"
    new = read_efuses(port)
    orders = [step.order for step in steps(WANTED, new, "f")[1:]]
    # at once, to save time: what a real board gets is one after the other
    whole = Order(
        orders[0].keys,
        {name: value for order in orders for name, value in order.fields.items()},
        *(tuple(chain(*(getattr(order, part) for order in orders))) for part in ("seal", "guard", "lock")),
    )
    burn_efuses(port, new.mac, whole)
    burned = read_efuses(port)
    refuse(burned, begun=True)
    assert [step.name for step in steps(WANTED, burned, "f")[1:] if not is_burned(step, burned)] == []


def test_no_secret_is_in_what_is_shown():
    shown = repr(WANTED) + repr(steps(WANTED, board(), "app.bin"))
    assert repr(FLASH_KEY)[2:-1] not in shown
    assert repr(HMAC_KEY)[2:-1] not in shown


def test_a_new_board_is_taken_and_nothing_of_it_is_done():
    refuse(board())
    assert [step.name for step in steps(WANTED, board(), "f")[1:] if is_burned(step, board())] == []


@pytest.mark.parametrize(
    ("efuses", "message"),
    [
        (board({"SECURE_BOOT_EN": 1}), "has SECURE_BOOT_EN burned already, and not by this ledger"),
        (board({"SPI_BOOT_CRYPT_CNT": 1}), "has SPI_BOOT_CRYPT_CNT burned already"),
        (board(locked=["RD_DIS"]), "lets no block be closed to software any more"),
        (board(key1=("USER", SECOND)), r"has its key block 1 in use \(USER\); free are: 0, 2, 3, 4, 5"),
        (board(key0=("HMAC_UP", "sealed")), r"has its key block 0 in use \(HMAC_UP\)"),
        (board(key5=("SECURE_BOOT_DIGEST2", SECOND)), "has a key of secure boot in block 5 that is none of yours"),
    ],
)
def test_a_board_that_somebody_has_begun_is_refused(efuses, message):
    with pytest.raises(BurnError, match=message) as raised:
        refuse(efuses)
    assert raised.value.code == "secured"
    assert "nothing was burned; take another board" in str(raised.value)


def test_what_was_cut_off_is_taken_up_again():
    # the flash key lies reversed in its block
    refuse(board(key0=("HMAC_UP", HMAC_KEY), key1=("USER", FLASH_KEY[::-1])))
    refuse(board(key1=("XTS_AES_128_KEY", bytes(32))))
    sealed = board({"SECURE_BOOT_EN": 1}, ["RD_DIS"], key0=("HMAC_UP", "sealed"), key1=("XTS_AES_128_KEY", "sealed"))
    refuse(sealed, begun=True)
    refuse(board(key0=("HMAC_UP", "sealed")), hmac_begun=True)
    with pytest.raises(BurnError, match="key block 1 in use"):
        refuse(board(key1=("XTS_AES_128_KEY", "sealed")), hmac_begun=True)


def test_a_key_that_is_there_with_another_purpose_or_unsealed_is_not_done():
    keys, protect = steps(WANTED, board(), "f")[1:3]
    there = {"key1": ("XTS_AES_128_KEY", FLASH_KEY[::-1]), "key2": ("SECURE_BOOT_DIGEST0", DIGEST)}
    assert is_burned(keys, board(key0=("HMAC_UP", HMAC_KEY), **there))
    assert not is_burned(keys, board(key0=("USER", HMAC_KEY), **there))
    assert not is_burned(keys, board(key0=("HMAC_UP", SECOND), **there))
    assert not is_burned(protect, board(key0=("HMAC_UP", HMAC_KEY), **there))
