"""MicroPython boards that come to their next identity by themselves, on the real servers."""

import base64
import json
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fleetmint.documents.registration import FORMAT
from fleetmint.nvs import keys as nvs_keys
from fleetmint.x509 import keys, names
from fleetmint.x509.authority import new_serial
from tests.support.firmware_boards import BOOT, Booted
from tests.support.firmware_flash import flash_in

YEAR = timedelta(days=365)


class Made:
    """A device with a key of the factory, whose certificate ends at a time of the test's choosing."""

    def __init__(self, site, name, end):
        factory, key = site.hierarchy.authority("factory"), keys.new_key()
        self.name = name
        leaf = (
            x509.CertificateBuilder()
            .subject_name(names.subject(factory.site, names.DEVICES_UNIT, name))
            .issuer_name(factory.certificate.subject)
            .public_key(key.public_key())
            .serial_number(new_serial())
            .not_valid_before(end - YEAR)
            .not_valid_after(end)
            .sign(factory.key, hashes.SHA256())
        )
        self.certificate = leaf.public_bytes(serialization.Encoding.DER)
        self.key = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        entry = {"device": name, "certificate": base64.b64encode(self.certificate).decode()}
        document = {"format": FORMAT, "site": "demo", "gateway": "gateway", "batch": "made", "devices": [entry]}
        path = site.scratch / f"{name}.json"
        path.write_text(json.dumps(document))
        sent = ("-H", "Content-Type: application/json", "--data-binary", f"@{path}")
        status, said = site.curl("operators", "/v1/registrations", site.operator("bench@demo"), *sent)
        assert status == 200, said

    def nvs(self, site):
        """What the factory wrote, as it wrote it for the boards of the demo."""
        like = site.nvs(1)
        shared = ("wifi_ssid", "wifi_psk", "gateway", "https_port", "mqtt_port", "bundle", "clock_floor")
        return {
            **{name: like[name] for name in shared if name in like},
            nvs_keys.DEVICE_ID: self.name.encode(),
            nvs_keys.SLOT: 0,
            nvs_keys.KEYS[0]: self.key,
            nvs_keys.CERTIFICATES[0]: self.certificate,
        }


@pytest.fixture
def boot(site, tmp_path):
    """Switch a board of this device on; it is off in the end."""
    boards = []

    def start(device):
        flash = flash_in(tmp_path, device.nvs(site))
        process = subprocess.Popen(
            [shutil.which("micropython"), str(BOOT / "boot.py"), str(flash)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "FLEETMINT_WIFI_SSID": "virtual", "FLEETMINT_WIFI_PSK": "virtual-network"},
        )
        boards.append(Booted(process, flash, []))
        return boards[-1]

    yield start
    for board in boards:
        board.process.kill()
        board.process.communicate()


def in_use(board):
    """The certificate and the key that the board holds in the slot in use."""
    stored = board.nvs()
    slot = stored[nvs_keys.SLOT]
    return x509.load_der_x509_certificate(stored[nvs_keys.CERTIFICATES[slot]]), stored[nvs_keys.KEYS[slot]]


def test_a_board_in_the_last_third_of_its_certificate_renews_it_with_a_key_of_its_own(site, boot):
    device = Made(site, "renewing-0001", datetime.now(UTC).replace(microsecond=0) + timedelta(days=100))
    board = boot(device)
    board.wait_for("renewed, certificate in slot 1")
    board.wait_for("published reading 1")
    certificate, key = in_use(board)
    assert key != device.key
    assert certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=364)
    certificate.verify_directly_issued_by(site.hierarchy.authority("device-gateway").certificate)
    assert site.devices()[device.name]["serial"] == f"{certificate.serial_number:x}"


def test_a_board_that_was_off_until_its_certificate_had_ended_comes_back_by_itself(site, boot):
    device = Made(site, "sleeping-0001", datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5))
    time.sleep(7)
    board = boot(device)
    board.wait_for("identity in slot 0 is not accepted: the gateway answers 401")
    board.wait_for("recovered, certificate in slot 1")
    # by the recovery it is of the gateway's CA; the factory's key goes now
    board.wait_for("renewed, certificate in slot 0")
    board.wait_for("published reading 1")
    certificate, key = in_use(board)
    assert key != device.key
    assert certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=364)
    assert site.devices()[device.name]["serial"] == f"{certificate.serial_number:x}"
