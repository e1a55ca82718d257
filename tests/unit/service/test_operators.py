"""What operators may read: filtered, in pages that hold while the ledger changes; and that nobody else may."""

import hashlib
import json
import subprocess
from datetime import timedelta

import pytest

from fleetmint.gateway import device_ca
from fleetmint.gateway.clock import utc_now
from fleetmint.gateway.device_crl import plan_device_crl
from fleetmint.gateway.views import time_text
from fleetmint.ledger import open_ledger
from fleetmint.ledger.revocation import revoke
from fleetmint.ledger.schema import certificates
from tests.support.gateway_site import board, certificate_entry, environ, handover, new_key, registration

PATHS = (
    "/v1/devices",
    "/v1/devices/lamp-000001",
    "/v1/certificates",
    "/v1/tokens",
    "/v1/events",
    "/v1/batches",
    "/v1/expiries",
    "/v1/crls",
    "/v1/crls/root",
)
MAC = "24:0a:c4:00:00:01"


@pytest.fixture
def alice(site, now):
    return site.hierarchy.authority("operator").issue("operator", new_key().public_key(), "alice@test", now=now)


@pytest.fixture
def get(client, alice):
    def run(path, who=alice, listener="operators"):
        return client.get(path, environ_overrides=environ(listener, who))

    return run


@pytest.fixture
def factory_made(site, now):
    """Register a device of the batch lanterns with a certificate that lasts so many days."""

    def make(device, days=365):
        leaf = site.hierarchy.authority("factory").issue("factory-device", new_key().public_key(), device, now=now)
        site.import_(registration([certificate_entry(device, leaf)], batch="lanterns"), now)
        if days != 365:
            with site.writing() as connection:
                own = certificates.c.device == device
                connection.execute(certificates.update().where(own).values(not_after=now + timedelta(days=days)))
        return leaf

    return make


def names(answer):
    assert answer.status_code == 200, answer.text
    return [row["device"] for row in answer.json["devices"]]


def test_only_operators_read_and_only_at_their_listener(get, factory_made, site, now):
    lamp = factory_made("lamp-000001")
    dashboard = site.hierarchy.authority("operator").issue("dashboard", new_key().public_key(), "wall@test", now=now)
    site_crl(site)
    for path in PATHS:
        assert get(path).status_code == 200, path
        assert get(path, dashboard).status_code == 200, path
        assert get(path, None).status_code == 401, path
        assert get(path, lamp).status_code == 403, path
        assert get(path, lamp, "devices").status_code == 404, path
        assert get(path, None, "devices").status_code == 404, path


def test_devices_are_found_by_status_batch_result_text_and_end(get, site, now, factory_made):
    site.register(now, "lamp-000001", "lamp-000002", "lamp-000003")
    factory_made("lantern-001")
    factory_made("lantern-002", days=20)
    with site.writing() as connection:
        revoke(connection, "lamp-000003", reason="unspecified", actor="test", now=now)
    soon = f"{now + timedelta(days=30):%Y-%m-%d}"
    for query, found in (
        ("", ["lamp-000001", "lamp-000002", "lamp-000003", "lantern-001", "lantern-002"]),
        ("?status=registered", ["lamp-000001", "lamp-000002"]),
        ("?status=revoked", ["lamp-000003"]),
        ("?batch=lanterns", ["lantern-001", "lantern-002"]),
        ("?batch=lamps-1&status=active", []),
        ("?text=NTERN", ["lantern-001", "lantern-002"]),
        ("?text=000_", []),
        (f"?expires_before={soon}", ["lantern-002"]),
        ("?expires_before=0001-01-01", []),
    ):
        assert names(get(f"/v1/devices{query}")) == found, query


def test_a_device_is_found_by_the_mac_and_the_result_that_the_bench_told(get, client, site, now):
    site.register(now, "lamp-000001", "lamp-000002")
    bench = site.hierarchy.authority("operator").issue("station", new_key().public_key(), "bench@test", now=now)
    told = client.post(
        "/v1/handovers",
        data=handover([board("lamp-000001", MAC, now)]),
        content_type="application/json",
        environ_overrides=environ("operators", bench),
    )
    assert told.status_code == 200
    assert names(get("/v1/devices?text=24:0A:C4")) == ["lamp-000001"]
    assert names(get("/v1/devices?result=burned")) == ["lamp-000001"]
    (row,) = get("/v1/batches").json["batches"]
    assert row == {
        "batch": "lamps-1",
        "devices": 2,
        "registered": 2,
        "active": 0,
        "revoked": 0,
        "burned": 1,
        "quarantined": 0,
        "returned": 0,
    }


@pytest.mark.parametrize(
    ("path", "name", "key"),
    [
        ("/v1/devices", "devices", "device"),
        ("/v1/certificates", "certificates", "serial"),
        ("/v1/tokens", "tokens", "token_sha256"),
        ("/v1/events", "events", "seq"),
        ("/v1/events?order=newest", "events", "seq"),
    ],
)
def test_the_pages_show_each_row_that_was_there_all_the_time_once(get, site, now, factory_made, path, name, key):
    for number in range(5):
        factory_made(f"lamp-a{number}")
        site.register(now, f"lamp-b{number}")
    glue = "&" if "?" in path else "?"
    before = [row[key] for row in get(f"{path}{glue}limit=1000").json[name]]
    seen, cursor, added = [], "", 0
    while cursor is not None:
        page = get(f"{path}{glue}limit=2{cursor and '&cursor='}{cursor}").json
        assert len(page[name]) <= 2
        seen += [row[key] for row in page[name]]
        cursor = page["next"]
        if added < 3:
            added += 1
            site.register(now, f"lamp-a0-{added}", f"lamp-z-{added}")
    assert len(seen) == len(set(seen))
    assert set(before) <= set(seen)
    assert [row for row in seen if row in before] == before
    assert len(before) >= 5


def test_a_device_is_shown_with_its_certificates_tokens_and_events(get, site, now, factory_made):
    leaf = factory_made("lamp-000001")
    with site.writing() as connection:
        revoke(connection, "lamp-000001", reason="key_compromise", actor="alice@test", now=now)
    shown = get("/v1/devices/lamp-000001").json
    assert (shown["device"], shown["status"], shown["tokens"]) == ("lamp-000001", "revoked", [])
    (certificate,) = shown["certificates"]
    assert int(certificate["serial"], 16) == leaf.serial_number
    assert (certificate["status"], certificate["revoke_reason"]) == ("revoked", "key_compromise")
    assert certificate["revoked_at"] == time_text(now)
    assert shown["events"][0]["kind"] == "revoke"
    assert shown["events"][0]["detail"]["reason"] == "key_compromise"
    for nobody in ("lamp-000002", "LAMP", "x" * 99):
        answer = get(f"/v1/devices/{nobody}")
        assert (answer.status_code, answer.json["error"]) == (404, "no_such_device")


def test_events_and_certificates_and_tokens_have_their_filters(get, site, now, factory_made):
    factory_made("lamp-000001")
    site.register(now, "lamp-000002")
    assert [row["kind"] for row in get("/v1/events").json["events"]] == ["import", "import"]
    assert get("/v1/events?kind=revoke").json == {"events": [], "next": None}
    assert len(get("/v1/events?actor=test&subject=lanterns").json["events"]) == 1
    assert [row["device"] for row in get("/v1/certificates?issuer=factory").json["certificates"]] == ["lamp-000001"]
    assert get("/v1/certificates?issuer=device").json["certificates"] == []
    assert [row["device"] for row in get("/v1/tokens?state=unused").json["tokens"]] == ["lamp-000002"]
    assert get("/v1/tokens?state=used").json["tokens"] == []
    assert get("/v1/tokens?device=lamp-000001").json["tokens"] == []


def test_the_chain_of_events_can_be_followed_from_what_is_read(get, site, now, factory_made):
    factory_made("lamp-000001")
    site.register(now, "lamp-000002")
    previous = "0" * 64
    for row in get("/v1/events").json["events"]:
        detail = json.dumps(row["detail"], sort_keys=True, separators=(",", ":"))
        fields = [row["seq"], row["at"], row["actor"], row["kind"], row["subject"], detail, previous]
        text = json.dumps(fields, separators=(",", ":"))
        assert row["previous"] == previous
        assert row["digest"] == hashlib.sha256(text.encode()).hexdigest()
        previous = row["digest"]


@pytest.mark.parametrize(
    "query",
    [
        "devices?stauts=active",
        "devices?status=gone",
        "devices?status=active&status=revoked",
        "devices?limit=0",
        "devices?limit=1001",
        "devices?limit=1e2",
        "devices?limit=",
        "devices?limit=%D9%A3",
        "devices?cursor=",
        "devices?text=%00",
        "devices?expires_before=2027-02-30",
        "devices?expires_before=tomorrow",
        "events?cursor=lamp",
        "events?cursor=-1",
        "events?cursor=99999999999999999999999",
        "events?order=up",
        "batches?x=1",
        "crls?x=1",
        "expiries?devices=all",
    ],
)
def test_what_cannot_be_asked_is_a_400_and_never_the_whole_list(get, query):
    answer = get(f"/v1/{query}")
    assert (answer.status_code, answer.json["error"]) == (400, "bad_query")
    assert query.partition("?")[2].partition("=")[0] in answer.json["message"]


def test_what_ends_is_told_with_the_next_devices_only(get, factory_made, now):
    for number in range(3):
        factory_made(f"lamp-00000{number}", days=100 + number)
    told = get("/v1/expiries?devices=1").json
    assert [row["name"] for row in told["expiries"] if row["kind"] == "device"] == ["lamp-000000"]
    assert {row["kind"] for row in told["expiries"]} >= {"CA", "CRL", "device"}
    assert told["expiries"] == sorted(told["expiries"], key=lambda row: row["ends"])
    assert len([row for row in get("/v1/expiries").json["expiries"] if row["kind"] == "device"]) == 3


def site_crl(site):
    """Sign the device CA's list, as the timer of a gateway does."""
    engine = open_ledger(site.config.ledger)
    authorities = device_ca.authorities(site.config)
    plan_device_crl(engine, authorities, site.config.device_crl, now=utc_now()).apply()
    engine.dispose()


def test_a_list_is_read_by_openssl_as_it_is_downloaded(get, site, tmp_path):
    told = get("/v1/crls").json
    assert [row["name"] for row in told["crls"]] == ["root", "factory", "operator"]
    assert "device" in told["damaged"][0]
    site_crl(site)
    told = get("/v1/crls").json
    assert ([row["name"] for row in told["crls"]], told["damaged"]) == (["root", "factory", "operator", "device"], [])
    for row in told["crls"]:
        answer = get(f"/v1/crls/{row['name']}")
        assert answer.mimetype == "application/pkix-crl"
        path = tmp_path / "list.crl"
        path.write_bytes(answer.data)
        trust = site.config.trusted(row["name"])
        command = ["openssl", "crl", "-inform", "DER", "-in", path, "-CAfile", trust, "-noout", "-crlnumber"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "verify OK" in done.stderr
        assert int(done.stdout.partition("=")[2], 16) == row["number"]
    assert get("/v1/crls/device-2").json["error"] == "no_such_crl"
