import json

import pytest
from sqlalchemy import select

from fleetmint.bench.efuse import (
    DONE,
    FAILED,
    INTENDED,
    Target,
    bound_device,
    device_of,
    fingerprint,
    has_key,
    plan_hmac_key,
)
from fleetmint.burn_codes import BurnCode
from fleetmint.errors import BurnError, FleetmintError
from fleetmint.flash import efuse as flash
from fleetmint.flash.efuse import Efuses, KeyBlock, read_efuses
from fleetmint.ledger import create_schema, events, factory, open_ledger, reading, schema, writing

KEY = bytes(range(32))
MAC = "00:00:00:00:00:00"


@pytest.fixture
def engine(tmp_path, now):
    engine = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", create=True)
    create_schema(engine, site="home")
    with writing(engine) as connection:
        factory.create_batch(connection, "first", {"lamp-000001": "device"}, now=now)
        factory.mark_registered(connection, "first", ["lamp-000001"], actor="test", now=now)
    yield engine
    engine.dispose()


@pytest.fixture
def port(tmp_path):
    return f"virtual:esp32c6:{tmp_path / 'efuses.bin'}"


@pytest.fixture
def plan(engine, port, now):
    def make(block=0, key=KEY, efuses=None):
        target = Target(port, efuses or read_efuses(port), block)
        return plan_hmac_key(engine, target, "lamp-000001", key, lambda: now)

    return make


def board(*blocks, chip="esp32c6"):
    """Return a board with these key blocks, the others empty: None, a key that is readable, or "sealed"."""
    made = [
        KeyBlock(
            number,
            "HMAC_UP" if block else "USER",
            block != "sealed",
            not block,
            block if isinstance(block, bytes) else bytes(32),
        )
        for number, block in enumerate((*blocks, *[None] * 6)[:6])
    ]
    return Efuses(MAC, chip, tuple(made))


@pytest.fixture
def burned(engine, now):
    """What the journal says after a key was burned into block 0."""
    detail = {"block": 0, "key": fingerprint(KEY), "mac": MAC}
    for kind in (INTENDED, DONE):
        with writing(engine) as connection:
            events.append(connection, at=now, actor="factory", kind=kind, subject="lamp-000001", detail=detail)


@pytest.fixture
def journal(engine):
    def read():
        with reading(engine) as connection:
            assert events.broken_links(connection) == ()
            found = connection.execute(select(schema.events).order_by(schema.events.c.seq))
            return [(row.kind, json.loads(row.detail)) for row in found if row.kind.startswith("efuse")]

    return read


def test_a_key_is_burned_once_and_journalled_before_and_after(plan, port, journal):
    first = plan()
    assert first.reasons == (f"burn the HMAC key of lamp-000001 into block 0 of {MAC} and seal it, for ever",)
    assert journal() == []
    assert read_efuses(port).blocks[0].empty
    first.apply()
    assert read_efuses(port).blocks[0].sealed
    detail = {"block": 0, "key": fingerprint(KEY), "mac": MAC}
    assert journal() == [(INTENDED, detail), (DONE, detail)]
    assert not plan().changed
    assert KEY.hex() not in json.dumps(journal())


def test_a_run_that_was_cut_before_its_record_is_only_recorded(plan, port, journal, monkeypatch):
    cut = plan()

    def power_cut(*_arguments):
        flash.burn_hmac_key(*_arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr("fleetmint.bench.efuse.burn_hmac_key", power_cut)
    with pytest.raises(KeyboardInterrupt):
        cut.apply()
    assert [kind for kind, _ in journal()] == [INTENDED]
    again = plan()
    assert again.reasons[0].startswith("record that block 0")
    again.apply()
    assert [kind for kind, _ in journal()] == [INTENDED, DONE]
    assert not plan().changed


def test_a_burn_that_failed_is_journalled_as_failed(plan, journal, monkeypatch):
    def fails(*_arguments):
        raise BurnError("the cable", BurnCode.LOST)

    monkeypatch.setattr("fleetmint.bench.efuse.burn_hmac_key", fails)
    with pytest.raises(BurnError, match="the cable"):
        plan(efuses=board()).apply()
    assert [(kind, detail.get("code")) for kind, detail in journal()] == [(INTENDED, None), (FAILED, "lost")]


def test_a_key_that_was_not_sealed_is_finished(plan):
    assert plan(efuses=board(KEY)).reasons[0].startswith("finish the HMAC key of lamp-000001 in block 0")


def test_a_block_that_somebody_else_burned_is_refused_with_those_that_are_free(plan):
    for foreign in ("sealed", bytes(reversed(KEY))):
        with pytest.raises(BurnError, match=r"block 0 .* in use .*, and not by this key; free are: 2, 3, 4, 5"):
            plan(efuses=board(foreign, "sealed"))


def test_a_second_block_for_the_same_key_is_refused(plan, burned):
    assert not plan(efuses=board("sealed")).changed
    with pytest.raises(BurnError, match="has its key in block 0 already"):
        plan(block=1, efuses=board("sealed"))


def test_another_key_does_not_count_as_the_one_in_the_journal(plan, burned):
    with pytest.raises(BurnError, match="not by this key"):
        plan(key=bytes(reversed(KEY)), efuses=board("sealed"))


def test_a_chip_without_hmac_is_refused(plan):
    with pytest.raises(BurnError, match="an esp32 has no HMAC peripheral"):
        plan(efuses=Efuses(MAC, "esp32", ()))


@pytest.fixture
def bind(engine, port, now):
    return lambda: bound_device(engine, Target(port, board(), 0), "first", lambda: now)


def test_a_board_is_bound_to_a_device_which_a_burn_takes_up(engine, bind, now):
    assert device_of(engine, MAC, "first") is None
    with bind() as device:
        assert device == "lamp-000001"
    with writing(engine) as connection:
        unit = factory.claim(connection, "first", MAC, "slot-1", port="/dev/ttyUSB0", now=now)
    assert (unit.device, unit.claimed_by) == ("lamp-000001", "slot-1")
    with pytest.raises(BurnError, match="lamp-000001 of the batch 'first': take another board"):
        device_of(engine, MAC, "second")


def test_a_board_that_nothing_was_burned_into_is_free_again(engine, bind, plan):
    with pytest.raises(FleetmintError, match="nobody confirmed"), bind():
        raise FleetmintError("nobody confirmed")
    assert device_of(engine, MAC, "first") is None


def test_a_board_with_a_key_that_was_meant_for_it_keeps_its_device(engine, bind, plan, monkeypatch):
    def fails(*_arguments):
        raise BurnError("the cable", BurnCode.LOST)

    monkeypatch.setattr("fleetmint.bench.efuse.burn_hmac_key", fails)
    with pytest.raises(BurnError, match="the cable"), bind():
        plan(efuses=board()).apply()
    assert device_of(engine, MAC, "first") == "lamp-000001"


def test_the_journal_tells_whether_a_board_has_its_key(engine, burned):
    assert has_key(engine, "lamp-000001", MAC, KEY)
    assert not has_key(engine, "lamp-000001", MAC, bytes(reversed(KEY)))
    assert not has_key(engine, "lamp-000001", "24:0a:c4:00:00:01", KEY)
    assert not has_key(engine, "lamp-000002", MAC, KEY)
