"""Pages and filters, asked of both databases."""

from datetime import UTC, datetime, timedelta

import pytest

from fleetmint.ledger import create_schema, events, open_ledger, reading, writing
from fleetmint.ledger.devices import Device
from fleetmint.ledger.listing import batches, certificates_page, devices_page, events_page, tokens_page
from fleetmint.ledger.schema import certificates, devices, public_keys, tokens
from virtual import postgres

NOW = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ledger(request, tmp_path_factory):
    """A ledger with six lamps: the third and the fourth have a certificate, which the fourth has replaced once."""
    if request.param == "postgresql":
        with postgres.cluster() as url:
            yield from filled(url)
    else:
        yield from filled(f"sqlite:///{tmp_path_factory.mktemp('listing') / 'ledger.sqlite'}")


def filled(url):
    engine = open_ledger(url, create=True)
    create_schema(engine, site="test")
    with writing(engine) as connection:
        for number in range(1, 7):
            name = f"lamp-{number}"
            status = "active" if number in (3, 4) else "registered"
            mac = f"24:0a:c4:00:00:0{number}" if number < 4 else None
            row = {"device": name, "batch": f"batch-{number % 2}", "status": status, "registered_at": NOW, "mac": mac}
            connection.execute(devices.insert().values(**row))
            token = {"token_sha256": f"{number:064x}", "device": name, "expires_at": NOW + timedelta(days=number)}
            connection.execute(tokens.insert().values(**token, state="used" if status == "active" else "unused"))
            events.append(connection, at=NOW, actor="test", kind="import", subject=name, detail={"n": number})
        certify(connection, "lamp-3", "0a", 30)
        certify(connection, "lamp-4", "0b", 10, superseded_at=NOW)
        certify(connection, "lamp-4", "0c", 300, predecessor="0b")
    yield engine
    engine.dispose()


def certify(connection, device, serial, days, **more):
    key = {"spki_sha256": serial * 32, "device": device}
    connection.execute(public_keys.insert().values(**key))
    dates = {"reserved_at": NOW, "not_before": NOW, "confirmed_at": NOW, "not_after": NOW + timedelta(days=days)}
    row = {"serial": serial, "issuer": "device", "status": "active", "der": b"x", **key, **dates, **more}
    connection.execute(certificates.insert().values(**row))


def all_pages(ledger, page, key, **wanted):
    """Read every page of two, and say what was in each."""
    found, after = [], None
    while True:
        with reading(ledger) as connection:
            got = page(connection, after=after, limit=2, **wanted)
        found.append([getattr(row, key) for row in got.rows])
        if got.last is None:
            return found
        after = got.last


def test_each_table_is_read_in_full_pages_and_the_last_says_so(ledger):
    assert all_pages(ledger, devices_page, "device") == [
        ["lamp-1", "lamp-2"],
        ["lamp-3", "lamp-4"],
        ["lamp-5", "lamp-6"],
    ]
    assert all_pages(ledger, certificates_page, "serial") == [["0a", "0b"], ["0c"]]
    assert all_pages(ledger, tokens_page, "token_sha256")[2] == [f"{5:064x}", f"{6:064x}"]
    assert all_pages(ledger, events_page, "seq") == [[1, 2], [3, 4], [5, 6]]
    assert all_pages(ledger, events_page, "seq", newest_first=True) == [[6, 5], [4, 3], [2, 1]]


def test_a_page_of_devices_says_of_each_what_the_whole_list_says(ledger):
    with reading(ledger) as connection:
        whole = devices_page(connection).rows
        parts = [
            devices_page(connection, after=after, limit=1).rows[0]
            for after in (None, *(f"lamp-{n}" for n in range(1, 6)))
        ]
    assert tuple(parts) == whole
    assert isinstance(whole[3], Device)
    assert (whole[3].serial, whole[3].not_after) == (0x0C, NOW + timedelta(days=300))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"status": "active"}, "34"),
        ({"batch": "batch-0"}, "246"),
        ({"text": "MP-5"}, "5"),
        ({"text": "24:0A:C4"}, "123"),
        ({"text": "%"}, ""),
        ({"text": "lamp_1"}, ""),
        ({"status": "active", "batch": "batch-1"}, "3"),
        # the one that its device has replaced ends before, and does not count
        ({"expires_before": NOW + timedelta(days=31)}, "3"),
        ({"expires_before": NOW + timedelta(days=301)}, "34"),
    ],
)
def test_devices_are_chosen_by(ledger, wanted, found):
    with reading(ledger) as connection:
        assert "".join(each.device[-1] for each in devices_page(connection, **wanted).rows) == found


def test_tokens_and_certificates_are_chosen_by_their_end_and_batches_counted(ledger):
    soon = NOW + timedelta(days=2, hours=1)
    with reading(ledger) as connection:
        assert [row.device for row in tokens_page(connection, expires_before=soon, limit=9).rows] == [
            "lamp-1",
            "lamp-2",
        ]
        ends = certificates_page(connection, expires_before=NOW + timedelta(days=11), limit=9).rows
        assert [row.serial for row in ends] == ["0b"]
        assert batches(connection) == {
            "batch-0": {"active": 1, "registered": 2},
            "batch-1": {"active": 1, "registered": 2},
        }
