"""What follows from the reason of a failed burn, for the identity and for the board."""

import pytest

from fleetmint.bench.records import Records
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError
from fleetmint.flash.job import Board
from fleetmint.ledger import open_ledger, reading, writing
from fleetmint.ledger.attempts import list_refused
from fleetmint.ledger.factory import find_unit_of_board
from fleetmint.ledger.schema import refused_boards
from fleetmint.printable import json_line

BOARD = Board("24:0a:c4:00:00:01", "esp32", 0x400000)
# By hand: a code that is new has to be put here by somebody who has thought of it.
AFTER_A_WRITE = {"lost", "md5", "not-heard", "monitor-lost", "internal", "station", "boards"}
BAD_BOARD = {"wrong-chip", "too-small", "secured", "identity", "duplicate", "md5"}


@pytest.fixture
def engine(bench):
    engine = open_ledger(bench.ledger)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("code", BurnCode)
def test_an_identity_is_free_again_only_when_nothing_of_it_can_be_in_the_flash(bench, engine, code):
    records = Records(engine, "first", "/dev/ttyUSB0")
    claim = records.claim(BOARD, unregistered=True)
    records.failed(claim, BurnError("it went wrong", code, BOARD.mac))
    with reading(engine) as connection:
        unit = find_unit_of_board(connection, BOARD.mac)
    if code == "md5":
        assert (unit.state, unit.reason) == ("quarantined", "it went wrong")
    elif code in AFTER_A_WRITE:
        assert (unit.state, unit.device, unit.claimed_by) == ("claimed", claim.device, None)
    else:
        assert unit is None


@pytest.mark.parametrize("code", BurnCode)
def test_a_code_knows_whether_the_flash_was_touched_and_whether_the_board_is_at_fault(code):
    assert (code.flash_touched, code.board_at_fault) == (code in AFTER_A_WRITE, code in BAD_BOARD)


def test_a_script_reads_a_code_as_a_plain_word():
    assert json_line({"code": BurnCode.NOT_HEARD}) == '{"code": "not-heard"}'


def test_what_a_ledger_has_from_an_earlier_version_is_read(bench, engine, now):
    for former in ("unseen", "deaf"):
        with writing(engine) as connection:
            values = {"batch": "first", "port": "p", "worker": "w", "code": former, "reason": "r", "at": now}
            connection.execute(refused_boards.insert().values(**values))
    with reading(engine) as connection:
        assert [board.code for board in list_refused(connection, "first")] == ["not-heard", "monitor-lost"]


def test_an_unknown_word_is_no_code():
    with pytest.raises(ValueError, match="no-such-code"):
        BurnCode("no-such-code")
