"""What Prometheus is told. The judge of its form is promtool."""

import base64
import time
from datetime import timedelta

import pytest

from fleetmint.ledger import schema
from fleetmint.service import metrics
from fleetmint.service.app import create_app
from fleetmint.service.counters import Counters
from fleetmint.service.exposition import GAUGE, exposition, family
from tests.support.gateway_site import environ, make_csr, new_key
from tests.support.prometheus import complaints, samples

LOCAL = {"FLEETMINT_LISTENER": metrics.LOCAL, "REMOTE_ADDR": "127.0.0.1"}


@pytest.fixture
def alice(site, now):
    return site.hierarchy.authority("operator").issue("operator", new_key().public_key(), "alice@test", now=now)


def post_enrolment(client, device, token, csr=None):
    body = {"device": device, "token": token, "csr": base64.b64encode(csr or make_csr(new_key())).decode()}
    return client.post("/v1/enrol", json=body, environ_overrides=environ("devices"))


def scrape(client):
    answer = client.get("/metrics", environ_overrides=LOCAL)
    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def test_promtool_finds_nothing_to_say_about_it(client, site, now):
    tokens = site.register(now, "lamp-000001", "lamp-000002")
    assert post_enrolment(client, "lamp-000001", tokens["lamp-000001"]).status_code == 200
    assert post_enrolment(client, "lamp-000002", "0" * 32).status_code == 403
    text = scrape(client)
    assert complaints(text) == ""
    assert text.count("# HELP") == text.count("# TYPE") > 12


def test_operators_see_it_and_nobody_else(client, site, now, alice):
    factory = site.hierarchy.authority("factory")
    lamp = factory.issue("factory-device", new_key().public_key(), "lamp-000001", now=now)
    status = {
        asked: client.get("/metrics", environ_overrides=environ(*asked)).status_code
        for asked in [("operators", alice), ("operators", None), ("operators", lamp), ("devices", None), ("", None)]
    }
    assert status == {
        ("operators", alice): 200,
        ("operators", None): 401,
        ("operators", lamp): 403,
        ("devices", None): 404,
        ("", None): 404,
    }


@pytest.mark.parametrize("path", ["/", "/v1/devices", "/v1/whoami", "/v1/enrol"])
def test_the_local_listener_has_nothing_else(client, path):
    assert client.get(path, environ_overrides=LOCAL).status_code in (404, 405)


def test_issuances_are_told_by_kind_and_a_repeated_answer_is_none(client, site, now):
    token = site.register(now, "lamp-000001")["lamp-000001"]
    csr = make_csr(new_key())
    for _ in range(3):
        assert post_enrolment(client, "lamp-000001", token, csr).status_code == 200
    found = samples(scrape(client))
    assert {kind: found[f'fleetmint_certificates_issued_total{{kind="{kind}"}}'] for kind in ("enrol", "renew")} == {
        "enrol": 1,
        "renew": 0,
    }


def test_refusals_are_told_by_the_code_that_was_answered(client, site, now):
    site.register(now, "lamp-000001")
    post_enrolment(client, "lamp-000001", "0" * 32)
    post_enrolment(client, "lamp-000001", "0" * 32)
    client.post("/v1/enrol", data=b"x", environ_overrides=environ("devices"))
    client.get("/", environ_overrides=environ("devices"))
    client.get("/nowhere", environ_overrides=environ("devices"))
    found = samples(scrape(client))
    codes = {name: number for name, number in found.items() if name.startswith("fleetmint_refusals_total")}
    assert codes == {
        'fleetmint_refusals_total{code="refused"}': 2,
        'fleetmint_refusals_total{code="bad_request"}': 1,
        'fleetmint_refusals_total{code="certificate_needed"}': 1,
        'fleetmint_refusals_total{code="not_found"}': 1,
    }


def test_whichever_process_is_asked_tells_the_same(site, now, tmp_path):
    token = site.register(now, "lamp-000001")["lamp-000001"]
    apps = [create_app(site.config, counters=Counters(tmp_path / "counters", f"worker-{n}")) for n in (1, 2)]
    clients = [app.test_client() for app in apps]
    assert post_enrolment(clients[0], "lamp-000001", token).status_code == 200
    assert post_enrolment(clients[1], "lamp-000001", token).status_code == 403
    for client in clients:
        found = samples(scrape(client))
        assert found['fleetmint_certificates_issued_total{kind="enrol"}'] == 1
        assert found['fleetmint_refusals_total{code="refused"}'] == 1
        assert found['fleetmint_request_duration_seconds_count{route="/v1/enrol"}'] == 2
        assert found['process_resident_memory_bytes{process="worker-2"}'] > 10_000_000
    for app in apps:
        app.extensions["fleetmint"].engine.dispose()


def test_the_histogram_grows_from_bucket_to_bucket_and_ends_with_all(client):
    for _ in range(20):
        client.get("/", environ_overrides=environ("devices"))
    found = samples(scrape(client))
    buckets = [number for name, number in found.items() if 'bucket{route="/",' in name]
    assert buckets == sorted(buckets)
    assert buckets[-1] == found['fleetmint_request_duration_seconds_count{route="/"}'] == 20
    assert 0 < found['fleetmint_request_duration_seconds_sum{route="/"}'] < 20


def test_no_name_that_a_stranger_asks_for_becomes_a_label(client):
    for number in range(50):
        client.get(f"/nothing-{number}", environ_overrides=environ("devices"))
        client.open("/v1/enrol", method=f"M{number}", environ_overrides=environ("devices"))
    text = scrape(client)
    assert "nothing-" not in text
    assert len(samples(text)) < 200


def test_everything_that_ends_is_told_with_its_time(client, site, now):
    token = site.register(now, "lamp-000001")["lamp-000001"]
    issued = post_enrolment(client, "lamp-000001", token).json
    found = samples(scrape(client))
    device = found['fleetmint_device_expiry_timestamp_seconds{device="lamp-000001"}']
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(device)) == issued["not_after"]
    ends = {name for name in found if name.startswith("fleetmint_expiry_timestamp_seconds")}
    assert {name.split('"')[1] for name in ends} == {"ca", "crl"}
    assert all(found[name] > now.timestamp() for name in ends)
    # the servers' certificates and the device CA's list are not on this gateway yet
    assert found["fleetmint_unreadable_files"] == 1


def test_the_ledger_is_told_as_it_is(client, site, now):
    site.register(now, "lamp-000001", "lamp-000002")
    found = samples(scrape(client))
    with site.reading() as connection:
        seq = connection.exec_driver_sql("select max(seq) from events").scalar()
    assert found["fleetmint_ledger_events_total"] == seq
    assert found['fleetmint_devices{status="registered"}'] == 2
    assert found['fleetmint_devices{status="active"}'] == 0
    assert found["fleetmint_ledger_size_bytes"] >= (site.root / "ledger.sqlite").stat().st_size
    assert found["fleetmint_disk_free_bytes"] > 0


def test_a_ledger_that_is_gone_leaves_the_rest(client, site):
    (site.root / "ledger.sqlite").unlink()
    found = samples(scrape(client))
    assert found['fleetmint_healthy{check="ledger"}'] == 0
    assert found['fleetmint_healthy{check="ca"}'] == 1
    assert "fleetmint_ledger_size_bytes" not in found
    assert any(name.startswith("fleetmint_expiry_timestamp_seconds") for name in found)


def test_only_the_devices_that_end_next_have_a_label_of_their_own(app, client, site, now):
    with site.writing() as connection:
        for number in range(150):
            name, serial = f"lamp-{number:06}", f"{number + 256:04x}"
            add_device(connection, name, serial, now, ends=now + timedelta(days=400 - number))
    found = samples(scrape(client))
    told = [name.split('"')[1] for name in found if name.startswith("fleetmint_device_expiry")]
    assert told == [f"lamp-{number:06}" for number in range(149, 49, -1)]
    assert found['fleetmint_devices{status="active"}'] == 150


def add_device(connection, name, serial, now, ends):
    key = serial.zfill(64)
    values = {"device": name, "batch": "b", "status": "active", "registered_at": now}
    connection.execute(schema.devices.insert().values(**values))
    connection.execute(schema.public_keys.insert().values(spki_sha256=key, device=name))
    signed = {"status": "active", "reserved_at": now, "not_before": now, "not_after": ends, "der": b"x"}
    values = {"serial": serial, "issuer": "device", "device": name, "spki_sha256": key, "confirmed_at": now}
    connection.execute(schema.certificates.insert().values(**values, **signed))


def test_whoever_asks_again_at_once_costs_the_ledger_nothing(app, client, monkeypatch):
    scrape(client)
    monkeypatch.setattr(metrics, "reading", None)
    assert "fleetmint_ledger_size_bytes" in scrape(client)


def test_a_label_can_hold_anything():
    text = exposition([family("x_y", GAUGE, "a\\b\nc", [({"name": 'say "hello\\"\n'}, 1.5)])])
    assert text == '# HELP x_y a\\\\b\\nc\n# TYPE x_y gauge\nx_y{name="say \\"hello\\\\\\"\\n"} 1.5\n'
    assert complaints(text) == ""
