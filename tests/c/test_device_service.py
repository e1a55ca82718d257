"""A device in C at the real service: what its ledger says when the device renews, recovers, or is a copy."""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography import x509

from fleetmint.ledger.replacement import NewToken, add_token
from tests.support.c_device import running
from tests.support.c_esp8266 import Esp8266, device_program
from tests.support.firmware_service import service_of
from tests.support.firmware_site import DEVICE, make_site

# Two thirds of a year, the jitter of a device, and a little.
DUE = timedelta(days=252)
TOKEN = "ffeeddccbbaa99887766554433221100"  # noqa: S105 - known to this gateway only


@pytest.fixture(scope="session")
def program(build):
    return device_program(build)


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    site = make_site(datetime.now(UTC).replace(microsecond=0))
    return partial(service_of, site, template=tmp_path_factory.getbasetemp() / "gateway-template")


@pytest.fixture
def gateway(serve, tmp_path):
    with serve(tmp_path / "gateway") as made:
        yield made


@pytest.fixture
def work(program, gateway):
    """Have a device work until this is on its console; return what it has said and the paths that it asked for."""

    def until(board, text="published readings", **options):
        gateway.requests.clear()
        with running(program, board, **options) as device:
            device.wait_for(text)
        return "\n".join(device.console), [request.line.split()[1] for request in gateway.requests]

    return until


@pytest.fixture
def enrolled(gateway, work, tmp_path):
    gateway.register()
    board = Esp8266.burned(tmp_path / "flash", gateway.nvs())
    assert work(board)[1] == ["/v1/enrol", "/v1/whoami"]
    return board


def certificate(board):
    stored = board.values()
    return x509.load_der_x509_certificate(stored[f"cert{int(stored['slot'])}"])


def test_it_renews_in_the_last_third_and_not_before(gateway, work, enrolled):
    before = enrolled.values()
    gateway.later = timedelta(days=242)
    assert work(enrolled)[1] == ["/v1/whoami"]
    gateway.later = DUE
    assert work(enrolled)[1] == ["/v1/whoami", "/v1/renew", "/v1/whoami"]
    after = enrolled.values()
    assert (after["slot"], after["cert0"], after["key1"]) == (b"1", before["cert0"], before["key0"])
    # the service knows it by its first connection
    (event,) = [each for each in gateway.events("confirm") if "supersedes" in each]
    assert event["serial"].lstrip("0") == f"{certificate(enrolled).serial_number:x}"
    assert gateway.gateway.findings() == ()


def test_a_key_of_the_factory_is_replaced_at_the_first_renewal(gateway, work, tmp_path):
    made = gateway.made_by_factory()
    board = Esp8266.burned(tmp_path / "flash", gateway.nvs(**made))
    work(board)
    gateway.later = DUE
    assert "renewing with a new key" in work(board)[0]
    assert board.values()["slot"] == b"1"
    assert board.values()["key1"] != made["key0"]
    certificate(board).verify_directly_issued_by(gateway.gateway.device_ca.certificate)
    assert gateway.gateway.findings() == ()
    # and that was it
    assert work(board)[1] == ["/v1/whoami"]


def test_what_was_off_until_its_certificate_had_ended_comes_back(gateway, work, enrolled):
    gateway.later = timedelta(days=365 + 170)
    assert work(enrolled)[1] == ["/v1/whoami", "/v1/recover", "/v1/whoami"]
    assert certificate(enrolled).not_valid_after_utc > gateway.now() + timedelta(days=364)
    assert gateway.gateway.findings() == ()


def test_what_was_off_for_longer_is_told_why_and_comes_back_by_a_token(gateway, work, enrolled):
    before = enrolled.values()
    gateway.later = timedelta(days=365 + 200)
    assert "no recovery: the gateway answers 403 (refused)" in work(enrolled, "trying again in ")[0]
    assert {**enrolled.values(), "clock_floor": b""} == {**before, "clock_floor": b""}
    new = NewToken(DEVICE, hashlib.sha256(TOKEN.encode()).hexdigest(), gateway.now() + timedelta(days=30))
    with gateway.gateway.writing() as connection:
        add_token(connection, new, actor="test", now=gateway.now())
    values = {name: int(value) if value.isdigit() else value for name, value in before.items()}
    board = Esp8266.burned(enrolled.flash, {**values, "token": TOKEN.encode()})
    assert "there is another token: enrolling with a new key" in work(board)[0]
    assert board.values()["slot"] == b"1"
    assert board.values()["key1"] != before["key0"]
    assert gateway.gateway.findings() == ()


def test_of_two_boards_with_the_same_flash_the_second_is_refused(gateway, work, enrolled, tmp_path):
    copy = Esp8266(tmp_path / "copy")
    copy.flash.write_bytes(enrolled.flash.read_bytes())
    gateway.later = DUE
    work(enrolled)
    before = copy.values()
    said, _ = work(copy, "trying again in ")
    assert "is not accepted: the gateway answers 403 (superseded)" in said
    assert copy.values() == before
    work(enrolled)


@pytest.mark.parametrize("made", ["by itself", "by the factory"])
def test_whenever_the_power_goes_in_a_renewal_the_device_and_the_ledger_agree(program, serve, tmp_path, made):
    cut, done = 0, False
    while not done:
        cut += 1
        with serve(tmp_path / f"gateway{cut}") as gateway:
            if made == "by itself":
                gateway.register()
                values = gateway.nvs()
            else:
                values = gateway.nvs(**gateway.made_by_factory())
            board = Esp8266.burned(tmp_path / "flash", values)
            with running(program, board) as device:
                device.wait_for("published readings")
            gateway.later = DUE
            with running(program, board, dies=cut) as device:
                done = device.lives_until("published readings")
            with running(program, board) as device:
                device.wait_for("published readings")
            assert certificate(board).not_valid_after_utc > gateway.now() + timedelta(days=364)
            assert gateway.gateway.findings() == ()
    assert cut > 4
