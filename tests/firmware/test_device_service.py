"""Devices under MicroPython at the real service: what its ledger says when a device renews, recovers, or is a copy."""

import base64
import csv
import hashlib
import subprocess
import sys
from datetime import timedelta
from functools import partial

import pytest
from cryptography import x509

from fleetmint.documents.handover import read_handover
from fleetmint.documents.times import time_text
from fleetmint.flash.table import stock
from fleetmint.ledger import approvals
from fleetmint.ledger.devices import list_devices
from fleetmint.ledger.handover import import_handover
from fleetmint.ledger.replacement import NewToken, add_token
from fleetmint.nvs import keys
from fleetmint.trust import bundle as bundles
from tests.support.firmware_agent import run, said, stored
from tests.support.firmware_power import lost_answers, power_cuts
from tests.support.firmware_service import service_of
from tests.support.firmware_site import DEVICE
from tests.support.gateway_site import handover

pytestmark = pytest.mark.micropython

MAC = "24:0a:c4:00:00:07"
# Two thirds of a year, the jitter of a device, and a little.
DUE = timedelta(days=252)


@pytest.fixture
def serve(site, tmp_path_factory):
    return partial(service_of, site, template=tmp_path_factory.getbasetemp() / "gateway-template")


@pytest.fixture
def gateway(serve, tmp_path):
    with serve(tmp_path / "gateway") as made:
        yield made


def nvs(outcome):
    return {"token": None, **stored(outcome)}


def paths(gateway):
    return [request.line.split()[1] for request in gateway.requests]


def enrol(board, gateway):
    """Enrol a device; return what its NVS holds then."""
    gateway.register()
    outcome = run(board, gateway)
    assert said(outcome, "published reading 1"), outcome["said"]
    gateway.requests.clear()
    return nvs(outcome)


def certificate(values):
    return x509.load_der_x509_certificate(values[f"cert{values['slot']}"])


def test_a_device_renews_in_the_last_third_and_its_old_certificate_ends_hours_later(board, gateway):
    before = enrol(board, gateway)
    gateway.later = timedelta(days=242)
    assert nvs(run(board, gateway, **before)) == before
    gateway.later = DUE
    gateway.requests.clear()
    outcome = run(board, gateway, **before)
    after = nvs(outcome)
    assert paths(gateway) == ["/v1/whoami", "/v1/renew", "/v1/whoami"]
    assert after["slot"] == 1
    assert (after["cert0"], after["key1"]) == (before["cert0"], before["key0"])
    # the service knows it by its first connection
    old, new = (f"{certificate(values).serial_number:x}" for values in (before, after))
    (event,) = [each for each in gateway.events("confirm") if "supersedes" in each]
    assert (event["serial"].lstrip("0"), event["supersedes"].lstrip("0")) == (new, old)
    assert gateway.gateway.findings() == ()


def test_a_board_waits_for_its_handover_and_for_a_person_with_one_key(board, gateway):
    policy = {"approval": "manual", "token_binding": "mac"}
    gateway.token = gateway.gateway.register(gateway.now(), DEVICE, policy=policy)[DEVICE]
    waits = run(board, gateway)
    assert said(waits, "answers 202 (handover_pending)")
    burned = handover([{"device": DEVICE, "result": "burned", "mac": MAC, "at": time_text(gateway.now())}])
    document = read_handover(burned, site="test", gateway="gateway")
    with gateway.gateway.writing() as connection:
        import_handover(connection, document, actor="test", now=gateway.now())
    waits = run(board, gateway, **stored(waits))
    (line,) = said(waits, "answers 202 (approval_pending)")
    with gateway.gateway.writing() as connection:
        (row,) = approvals.list_waiting(connection, gateway.now())
        assert (row.mac, row.key[:16] in line) == (MAC, True)
        approvals.approve(connection, DEVICE, None, actor="test", now=gateway.now())
    assert said(run(board, gateway, **stored(waits)), "published reading 1")
    assert gateway.gateway.findings() == ()


def test_a_key_of_the_factory_is_replaced_at_the_first_renewal(board, gateway):
    made = gateway.made_by_factory()
    assert run(board, gateway, **made)["log"] == []
    gateway.later = DUE
    gateway.requests.clear()
    outcome = run(board, gateway, **made)
    after = nvs(outcome)
    assert said(outcome, "renewing with a new key")
    assert after["slot"] == 1
    assert after["key1"] != made["key0"]
    certificate(after).verify_directly_issued_by(gateway.gateway.device_ca.certificate)
    assert gateway.gateway.findings() == ()
    # and that was it
    gateway.requests.clear()
    assert nvs(run(board, gateway, **after)) == after
    assert paths(gateway) == ["/v1/whoami"]


def test_a_device_that_was_off_until_its_certificate_had_ended_comes_back(board, gateway):
    before = enrol(board, gateway)
    gateway.later = timedelta(days=365 + 170)
    outcome = run(board, gateway, **before)
    assert paths(gateway) == ["/v1/whoami", "/v1/recover", "/v1/whoami"]
    after = nvs(outcome)
    assert certificate(after).not_valid_after_utc > gateway.now() + timedelta(days=364)
    assert gateway.gateway.findings() == ()


def test_a_device_that_was_off_for_longer_is_told_why_and_comes_back_by_a_token(board, gateway):
    before = enrol(board, gateway)
    gateway.later = timedelta(days=365 + 200)
    outcome = run(board, gateway, **before)
    assert said(outcome, "no recovery: the gateway answers 403 (refused)")
    assert nvs(outcome) == before
    token = "ffeeddccbbaa99887766554433221100"  # noqa: S105 - known to this gateway only
    new = NewToken(DEVICE, hashlib.sha256(token.encode()).hexdigest(), gateway.now() + timedelta(days=30))
    with gateway.gateway.writing() as connection:
        add_token(connection, new, actor="test", now=gateway.now())
    outcome = run(board, gateway, **{**before, "token": token.encode()})
    assert said(outcome, "there is another token: enrolling with a new key")
    after = nvs(outcome)
    assert after["slot"] == 1
    assert after["key1"] != before["key0"]
    assert gateway.gateway.findings() == ()


@pytest.mark.parametrize("new_key", [False, True], ids=["same key", "new key"])
def test_of_two_boards_with_the_same_flash_the_second_is_refused_with_an_alarm(board, gateway, new_key):
    setup = f"device._new_key = {new_key}"
    before = enrol(board, gateway)
    gateway.later = DUE
    own = run(board, gateway, setup=setup, **before)
    assert nvs(own)["slot"] == 1
    # as long as the old certificate lasts beside the new one, and after that
    for later in (timedelta(), timedelta(days=2)):
        gateway.later = DUE + later
        copy = run(board, gateway, setup=setup, **before)
        assert said(copy, "(superseded)")
        assert not said(copy, "published"), copy["said"]
        assert nvs(copy) == before
    assert run(board, gateway, **nvs(own))["cut"] is False
    assert gateway.gateway.findings() == ()


def test_a_copy_that_renews_after_the_other_one_raises_an_alarm(board, gateway):
    before = enrol(board, gateway)
    gateway.later = DUE
    plain, other = gateway.answer, []

    def answer(request):
        # both were told to renew, and the other one is faster
        if request.line.startswith("POST /v1/renew") and not other:
            other.append(None)
            other[0] = nvs(run(board, gateway, **before))
        return plain(request)

    gateway.answer = answer
    copy = run(board, gateway, **before)
    assert other[0]["slot"] == 1
    assert said(copy, "not renewed: the gateway answers 403 (superseded)")
    assert nvs(copy) == before
    (alarm,) = gateway.events("clone-alarm")
    assert int(alarm["serial"], 16) == certificate(before).serial_number
    assert int(alarm["successor"], 16) == certificate(other[0]).serial_number
    (finding,) = gateway.gateway.findings()
    assert f"somebody asked with the certificate {alarm['serial']} of {DEVICE}" in finding


def check(interrupted):
    """Hold that device and ledger agree: one line of certificates, its last one in use, and nobody took it for two."""
    case, service = interrupted, interrupted.gateway
    for outcome in (case.after, case.last):
        assert said(outcome, "published reading 1"), (case.where, outcome["said"])
    assert case.last["log"] == [], case.where
    assert service.gateway.findings() == (), case.where
    assert service.events("clone-alarm") == [], case.where
    held = nvs(case.last)
    assert held["slot"] in (0, 1), case.where
    with service.gateway.reading() as connection:
        (device,) = list_devices(connection)
    assert device.device == DEVICE
    assert device.serial == certificate(held).serial_number, case.where


STORIES = {"enrolment": None, "renewal": DUE, "recovery": timedelta(days=500)}


def story(board, later, *, factory=False):
    def prepare(gateway):
        if factory:
            made = gateway.made_by_factory()
            gateway.later = DUE
            return made
        if later is None:
            gateway.register()
            return {}
        values = enrol(board, gateway)
        gateway.later = later
        return values

    return prepare


@pytest.mark.parametrize("name", [*STORIES, "first renewal"])
def test_a_power_cut_at_any_write_leaves_device_and_ledger_agreed(board, site, serve, tmp_path, name):
    prepare = story(board, STORIES.get(name), factory=name == "first renewal")
    cuts = list(power_cuts(board, site, tmp_path, prepare, serve=serve))
    for cut in cuts:
        check(cut)
    assert len(cuts) == 2 * 4


AT_ONCE = """
import agent.credentials
agent.credentials._FIRST_RETRY = 0
"""


@pytest.mark.parametrize(
    ("name", "requests"), [("enrolment", 2), ("renewal", 3), ("recovery", 3), ("first renewal", 3)]
)
def test_the_loss_of_any_answer_leaves_device_and_ledger_agreed(board, site, serve, tmp_path, name, requests):
    prepare = story(board, STORIES.get(name), factory=name == "first renewal")
    losses = list(lost_answers(board, site, tmp_path, prepare, serve=serve, setup=AT_ONCE, failures=2, enough=9))
    for loss in losses:
        check(loss)
    assert len(losses) >= requests


def test_two_identities_fit_the_smallest_nvs_with_the_largest_bundle(board, gateway, tmp_path):
    # MicroPython's table for updates over the air has 16 KiB, of which a chip keeps one page of 4 KiB free
    size = stock("4MiB-ota").find("nvs").size
    assert size == 0x4000
    before = enrol(board, gateway)
    gateway.later = DUE
    outcome = run(board, gateway, **before, key1=before["key0"], cert1=before["cert0"])
    assert said(outcome, "renewed, certificate in slot 1")
    values = stored(outcome)
    assert max(len(values["cert0"]), len(values["cert1"])) < 600
    # the largest bundle, and what may be told over the session
    values |= {"bundle": bytes(bundles.MAX_BYTES), "settings": bytes(800), "candidate": bytes(800)}
    # a value is written anew before the old one goes: a chip holds one of them twice, at worst the bundle
    judged({**values, "again": values["bundle"]}, size, tmp_path)


def judged(values, size, directory):
    """Have Espressif's own generator make the image: it fails when something has no room."""
    rows = [("key", "type", "encoding", "value"), (keys.NAMESPACE, "namespace", "", "")]
    for name, value in values.items():
        if isinstance(value, int):
            rows.append((name, "data", "i32", value))
        else:
            rows.append((name, "data", "base64", base64.b64encode(value).decode()))
    table = directory / "nvs.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    command = [sys.executable, "-m", "esp_idf_nvs_partition_gen", "generate", table, directory / "nvs.bin", hex(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (directory / "nvs.bin").stat().st_size == size
