"""The factory's half of the ledger: one identity for a board, one board for an identity."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from fleetmint.errors import NameRefusedError, StateError
from fleetmint.ledger import factory, open_ledger, reading, schema, writing

BATCH = {"lamp-000001": "device", "lamp-000002": "device", "lamp-000003": "factory"}


def mac(number: int) -> str:
    return f"24:0a:c4:00:00:{number:02x}"


@pytest.fixture
def batch(engine, now):
    with writing(engine) as connection:
        factory.create_batch(connection, "lamps-1", BATCH, now=now)
        factory.mark_registered(connection, "lamps-1", set(BATCH), actor="bench@test", now=now)


@pytest.fixture
def claim(engine, now, batch):
    def run(number, worker="slot-1", batch="lamps-1"):
        with writing(engine) as connection:
            return factory.claim(connection, batch, mac(number), worker, port="/dev/ttyUSB0", now=now)

    return run


@pytest.fixture
def do(engine, now):
    """Call a function of the ledger in a transaction of its own."""

    def run(function, *arguments, **options):
        with writing(engine) as connection:
            return function(connection, *arguments, now=now, **options)

    return run


def counts(engine):
    with reading(engine) as connection:
        return factory.counts(connection, "lamps-1")


def test_boards_get_the_identities_in_order(claim):
    units = [claim(number) for number in (1, 2, 3)]
    assert [(unit.device, unit.key_origin, unit.mac) for unit in units] == [
        ("lamp-000001", "device", mac(1)),
        ("lamp-000002", "device", mac(2)),
        ("lamp-000003", "factory", mac(3)),
    ]


def test_a_board_whose_burn_was_cut_gets_the_same_identity_from_any_worker(claim):
    first = claim(1)
    again = claim(1, worker="slot-2")
    assert (again.device, again.state, again.claimed_by) == (first.device, "claimed", "slot-2")
    assert claim(2).device == "lamp-000002"


def test_a_burned_board_gets_its_identity_back_as_burned(claim, do, engine):
    unit = claim(1)
    do(factory.record_burned, unit.device, "slot-1")
    again = claim(1)
    assert (again.device, again.state, again.port) == (unit.device, "burned", "/dev/ttyUSB0")
    assert counts(engine) == {"planned": 2, "claimed": 0, "burned": 1, "quarantined": 0, "returned": 0}


def test_stations_that_claim_at_once_never_get_the_same_identity(tmp_path, now, engine):
    boards = 40
    with writing(engine) as connection:
        devices = {f"bulb-{n:04}": "device" for n in range(boards)}
        factory.create_batch(connection, "many", devices, now=now)
        factory.mark_registered(connection, "many", set(devices), actor="bench@test", now=now)
    start = threading.Barrier(4)

    def station(name):
        own = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
        start.wait()
        got = []
        for number in range(name * boards // 4, (name + 1) * boards // 4):
            with writing(own) as connection:
                got.append(factory.claim(connection, "many", mac(number), f"station-{name}", port="p", now=now).device)
        own.dispose()
        return got

    with ThreadPoolExecutor(4) as pool:
        devices = [device for got in pool.map(station, range(4)) for device in got]
    assert len(set(devices)) == boards


def test_an_empty_batch_has_nothing_to_claim(claim):
    for number in (1, 2, 3):
        claim(number)
    with pytest.raises(StateError, match="no free identity left"):
        claim(4)
    with pytest.raises(StateError, match="there is no batch 'other'"):
        claim(4, batch="other")


def test_a_board_of_another_batch_is_refused(claim, do):
    do(factory.create_batch, "lamps-2", {"lamp-100001": "device"})
    do(factory.record_burned, claim(1).device, "slot-1")
    with pytest.raises(StateError, match="lamp-000001 of the batch 'lamps-1' already"):
        claim(1, batch="lamps-2")


def test_only_the_worker_that_holds_the_claim_can_finish_it(claim, do):
    unit = claim(1)
    claim(1, worker="slot-2")
    for function, more in ((factory.record_burned, ()), (factory.quarantine, ("bad flash",))):
        with pytest.raises(StateError, match="claimed, by slot-2: slot-1 has to claim it first"):
            do(function, unit.device, "slot-1", *more)
    assert do(factory.record_burned, unit.device, "slot-2").state == "burned"
    with pytest.raises(StateError, match="is burned"):
        do(factory.record_burned, unit.device, "slot-2")


def test_a_quarantined_board_and_identity_stay_aside_until_released(claim, do, engine):
    unit = claim(1)
    assert do(factory.quarantine, unit.device, "slot-1", "MD5 mismatch").reason == "MD5 mismatch"
    with pytest.raises(StateError, match="in quarantine as lamp-000001 \\(MD5 mismatch\\)"):
        claim(1)
    assert claim(2).device == "lamp-000002"
    assert counts(engine) == {"planned": 1, "claimed": 1, "burned": 0, "quarantined": 1, "returned": 0}
    released = do(factory.release, unit.device, untouched=False)
    assert (released.state, released.mac, released.reason) == ("claimed", mac(1), None)
    assert claim(3).device == "lamp-000003"
    assert claim(1).device == "lamp-000001"


def test_an_identity_that_reached_no_board_is_free_for_any(claim, do):
    unit = claim(1)
    assert do(factory.release, unit.device, untouched=True).state == "planned"
    assert claim(2).device == unit.device


def test_a_burned_or_planned_unit_cannot_be_released(claim, do):
    do(factory.record_burned, claim(1).device, "slot-1")
    for device in ("lamp-000001", "lamp-000002"):
        with pytest.raises(StateError, match="only a claimed or quarantined unit"):
            do(factory.release, device, untouched=True)


def test_making_the_same_batch_again_changes_nothing_it_can_grow_and_another_one_is_refused(do, batch, engine):
    assert do(factory.create_batch, "lamps-1", BATCH) == 0
    with pytest.raises(StateError, match="exists with other devices"):
        do(factory.create_batch, "lamps-1", BATCH | {"lamp-000001": "factory"})
    assert do(factory.create_batch, "lamps-1", BATCH | {"lamp-000004": "device"}) == 1
    with reading(engine) as connection:
        units = [unit.device for unit in factory.list_units(connection, "lamps-1")]
    assert units == [*BATCH, "lamp-000004"]
    with pytest.raises(StateError, match="lamp-000003 belongs to the batch 'lamps-1' already"):
        do(factory.create_batch, "lamps-2", {"lamp-000003": "device"})


def test_a_bad_id_or_key_origin_makes_no_batch(do, engine):
    with pytest.raises(NameRefusedError):
        do(factory.create_batch, "lamps-1", {"lamp-000001": "device", "Lamp": "device"})
    with pytest.raises(StateError, match="key origin"):
        do(factory.create_batch, "lamps-1", {"lamp-000001": "cloud"})
    with reading(engine) as connection:
        assert connection.execute(select(schema.batches)).all() == []


@pytest.mark.parametrize(
    "bad", ["", "24:0A:C4:00:00:01", "240ac4000001", "24:0a:c4:00:00:01\n", "24:0a:c4:00:00:01:02:03"]
)
def test_what_is_no_mac_is_refused(engine, now, batch, bad):
    with writing(engine) as connection, pytest.raises(StateError, match="no MAC"):
        factory.claim(connection, "lamps-1", bad, "slot-1", port="p", now=now)


def test_every_attempt_is_recorded(claim, do, engine, now):
    do(factory.quarantine, claim(1).device, "slot-1", "cable")
    do(factory.release, "lamp-000001", untouched=False)
    do(factory.record_burned, claim(1, worker="slot-2").device, "slot-2")
    with reading(engine) as connection:
        rows = connection.execute(select(schema.burns).order_by(schema.burns.c.id)).all()
    assert [(row.device, row.mac, row.worker, row.result, row.reason) for row in rows] == [
        ("lamp-000001", mac(1), "slot-1", "quarantined", "cable"),
        ("lamp-000001", mac(1), "slot-2", "burned", ""),
    ]


def test_a_unit_that_is_not_there_is_named(do):
    with pytest.raises(StateError, match="no unit 'lamp-999999'"):
        do(factory.record_burned, "lamp-999999", "slot-1")


def test_a_board_that_came_back_is_free_for_another_identity_and_its_own_has_ended(claim, do, engine):
    do(factory.record_burned, claim(1).device, "slot-1")
    returned = do(factory.take_back, "lamp-000001", "display broken", actor="bench@test")
    assert (returned.state, returned.mac, returned.reason) == ("returned", mac(1), "display broken")
    assert do(factory.take_back, "lamp-000001", "again", actor="bench@test") == returned
    assert claim(1).device == "lamp-000002"
    assert counts(engine) == {"planned": 1, "claimed": 1, "burned": 0, "quarantined": 0, "returned": 1}


def test_what_never_reached_a_board_cannot_come_back(do, batch):
    with pytest.raises(StateError, match="lamp-000002 was never burned"):
        do(factory.take_back, "lamp-000002", "?", actor="bench@test")


def test_an_identity_that_no_gateway_knows_is_not_given_out_unless_asked_for(do, claim):
    for number in (1, 2, 3):
        claim(number)
    do(factory.create_batch, "lamps-2", {"lamp-100001": "device"})
    with pytest.raises(StateError, match="fleetmint batch register lamps-2"):
        claim(4, batch="lamps-2")
    unit = do(factory.claim, "lamps-2", mac(4), "slot-1", port="p", unregistered=True)
    assert unit.device == "lamp-100001"
    # once it is bound to a board, that board gets it again
    assert claim(4, batch="lamps-2").device == "lamp-100001"


def test_the_ledger_keeps_since_when_the_gateway_knows_an_identity(do, engine, now):
    do(factory.create_batch, "lamps-1", BATCH)
    assert do(factory.mark_registered, "lamps-1", {"lamp-000001", "lamp-000003"}, actor="bench@test") == 2
    assert do(factory.mark_registered, "lamps-1", set(BATCH), actor="bench@test") == 1
    assert do(factory.mark_registered, "lamps-1", set(BATCH), actor="bench@test") == 0
    with reading(engine) as connection:
        assert {unit.registered_at for unit in factory.list_units(connection, "lamps-1")} == {now}
