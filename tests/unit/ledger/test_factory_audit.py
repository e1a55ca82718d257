"""The invariant checker of the factory's ledger notices what it is there to notice."""

import pytest

from fleetmint.ledger import factory, factory_audit, reading, writing


def mac(number: int) -> str:
    return f"24:0a:c4:00:00:{number:02x}"


@pytest.fixture
def findings(engine):
    def run() -> list[str]:
        with reading(engine) as connection:
            return [str(each) for each in factory_audit.findings(connection)]

    return run


@pytest.fixture
def worked(engine, now):
    """A batch of six: two burned, one in quarantine, one claimed, one returned, one untouched."""
    devices = {f"lamp-00000{number}": "device" for number in range(1, 7)}
    with writing(engine) as connection:
        factory.create_batch(connection, "lamps-1", devices, now=now)
        factory.mark_registered(connection, "lamps-1", set(devices), actor="bench@test", now=now)
        for number in range(1, 6):
            factory.claim(connection, "lamps-1", mac(number), "slot", port="p", now=now)
        for number in (1, 2, 5):
            factory.record_burned(connection, f"lamp-00000{number}", "slot", now=now)
        factory.quarantine(connection, "lamp-000003", "slot", "the flash is bad", now=now)
        factory.take_back(connection, "lamp-000005", "display broken", actor="bench@test", now=now)


def test_a_ledger_after_ordinary_work_has_no_findings(findings, worked):
    assert findings() == []


def test_the_board_of_a_returned_unit_may_get_another_identity(findings, worked, engine, now):
    with writing(engine) as connection:
        factory.claim(connection, "lamps-1", mac(5), "slot", port="p", now=now)
        factory.record_burned(connection, "lamp-000006", "slot", now=now)
    assert findings() == []


def test_a_batch_that_has_grown_has_no_findings(findings, worked, engine, now):
    with writing(engine) as connection:
        units = factory.list_units(connection, "lamps-1")
        grown = {unit.device: unit.key_origin for unit in units} | {"lamp-000007": "factory"}
        factory.create_batch(connection, "lamps-1", grown, now=now)
    assert findings() == []


@pytest.mark.parametrize(
    ("tampering", "words"),
    [
        ("delete from burns where device = 'lamp-000001'", "lamp-000001 is burned and has 0 records"),
        (
            "insert into burns (device, mac, port, worker, result, reason, at) select device, mac, port, worker,"
            " result, reason, at from burns where device = 'lamp-000001'",
            "lamp-000001 is burned and has 2 records",
        ),
        ("update burns set mac = '24:0a:c4:00:00:99' where device = 'lamp-000001'", "was burned into 2 boards"),
        (
            "update burns set mac = '24:0a:c4:00:00:01' where device = 'lamp-000002'",
            "24:0a:c4:00:00:01 is lamp-000001 and",
        ),
        ("update units set state = 'claimed' where device = 'lamp-000001'", "lamp-000001 is claimed, but"),
        ("update units set state = 'burned' where device = 'lamp-000004'", "lamp-000004 is burned and has 0 records"),
        ("update units set registered_at = null where device = 'lamp-000001'", "fleetmint batch register lamps-1"),
        ("update units set finished_at = null where device = 'lamp-000001'", "nobody knows when"),
        ("update units set reason = null where device = 'lamp-000003'", "lamp-000003 is quarantined without a reason"),
        ("update units set reason = '' where device = 'lamp-000005'", "lamp-000005 is returned without a reason"),
        ("delete from burns where device = 'lamp-000003'", "lamp-000003 is in quarantine, but"),
        ("update units set claimed_at = null where device = 'lamp-000004'", "lamp-000004 is claimed and nobody knows"),
        ("delete from units where device = 'lamp-000004'", "its numbers have gaps"),
        ("delete from units where device = 'lamp-000006'", "was made with 6 units in all and has 5"),
        ("update units set position = 9 where device = 'lamp-000004'", "its numbers have gaps"),
        ("update events set actor = 'nobody' where seq = 2", "event 2 does not follow"),
        ("update units set batch = 'gone' where device = 'lamp-000004'", "refers to nothing"),
    ],
)
def test_what_was_tampered_with_is_found(findings, worked, engine, tampering, words):
    with engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql(tampering)
    assert any(words in finding for finding in findings()), findings()
