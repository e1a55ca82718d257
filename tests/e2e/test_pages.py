"""The sketch Esp32Page on an ESP32-S3, plain and with a key in an eFuse: burned, and at the real gateway."""

import shutil
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fleetmint.batch import secrets
from fleetmint.flash.table import stock
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.decode import decode
from tests.e2e.site import ROOT, environment, wait_for
from tests.support.c_build import Build
from tests.support.c_esp32 import sketch
from virtual.esp32.firmware import firmware

BATCH = """
batch: {name}
prefix: {prefix}
chip: esp32s3
nvs_encryption: {encryption}
devices:
  - count: 1
"""
# That of an emulated chip, which the ledger then knows the eFuses of, and another one.
MACS = {"vaults": "00:00:00:00:00:00", "pages": "24:0a:c4:00:68:01"}
DEVICES = {"vaults": "vault-000001", "pages": "page-000001"}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler: scripts/setup test installs gcc")
    return sketch(Build(tmp_path_factory.mktemp("c")), "Esp32Page")


class Page:
    """A virtual board whose program is the sketch: it starts from the flash that the factory has burned."""

    def __init__(self, directory, batch, program, hmac_key=None):
        self.batch, self.directory, self.device = batch, directory, DEVICES[batch]
        self.keys = NvsKeys.of_hmac_key(hmac_key) if hmac_key else None
        efuse = directory / "efuse.key"
        directory.mkdir()
        if hmac_key:
            efuse.write_bytes(hmac_key)
        boot = [program, directory / "flash.bin", efuse if hmac_key else "-"]
        boot += ["ssid=virtual", "passphrase=virtual-network"]
        command = [sys.executable, "-m", "virtual.esp32", "--dir", directory, "--chip", "esp32s3"]
        command += ["--mac", MACS[batch], "--flash-size", "4MB", "--boot", *boot]
        self.process = subprocess.Popen([str(part) for part in command], cwd=ROOT)

    def console(self) -> str:
        return (self.directory / "console.log").read_text()

    def nvs(self):
        place = stock("4MiB").find("nvs")
        flash = (self.directory / "flash.bin").read_bytes()
        return decode(flash[place.offset : place.end], keys=self.keys)["fleetmint"]


def run(site, *arguments, typed=None):
    done = subprocess.run(
        ["fleetmint", *arguments, "--state", str(site.state)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, input=typed, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def made(site, directory, name, encryption):
    """Make a batch of one device and register it."""
    text = BATCH.format(name=name, prefix=DEVICES[name].partition("-")[0], encryption=encryption)
    (directory / f"{name}.yml").write_text(text)
    (directory / "wifi").write_text("default virtual-network\n")
    wifi = f"file:{directory / 'wifi'}"
    run(site, "batch", "new", str(directory / f"{name}.yml"), "--wifi-passphrases", wifi, "--site", "inventory/virtual")
    run(site, "batch", "register", name, "--site", "inventory/virtual")


def key_in_the_efuse(site, directory):
    """Burn the key of the batch's device into the eFuses of an emulated chip; nobody can read it there afterwards."""
    port = f"virtual:esp32s3:{directory / 'efuses.bin'}"
    run(site, "efuse", "vaults", "--port", port, typed=f"{DEVICES['vaults']}\n")
    known = dict(secrets.load(site.state / "batches/vaults", site.hierarchy.source).devices)
    return known[DEVICES["vaults"]].nvs_key


@pytest.fixture(scope="module")
def pages(site, program, tmp_path_factory):
    """A board with a plain NVS and one with an encrypted one, each burned and heard."""
    directory = tmp_path_factory.mktemp("pages")
    (directory / "firmware.bin").write_bytes(firmware("esp32s3", "arduino-lib-builder"))
    made(site, directory, "pages", "none")
    made(site, directory, "vaults", "hmac")
    key = key_in_the_efuse(site, directory)
    boards = [Page(directory / "page", "pages", program), Page(directory / "vault", "vaults", program, key)]
    try:
        for board in boards:
            run(
                site, "burn", board.batch, f"--port={board.directory / 'tty'}", "--once", "--test=60",
                "--other-firmware", "--firmware", str(directory / "firmware.bin"), "--site", "inventory/virtual",
            )  # fmt: skip
        yield boards
    finally:
        for board in boards:
            board.process.terminate()
            board.process.wait()


def test_an_esp32_in_c_enrols_and_prints_the_page_of_the_gateway(site, pages):
    for board in pages:
        wait_for(lambda board=board: f"Hello {board.device}" in board.console(), 60)
        said = board.console()
        assert "enrolled, certificate in slot 0" in said
        assert "the page, by TLSv1." in said
        assert site.devices()[board.device]["status"] == "active"


def test_its_flash_holds_the_identity_that_the_gateway_knows_and_no_token(site, pages):
    for board in pages:
        stored = board.nvs()
        assert "token" not in stored
        certificate = x509.load_der_x509_certificate(stored["cert0"])
        key = serialization.load_der_private_key(stored["key0"], None)
        assert certificate.public_key() == key.public_key()
        assert int(site.devices()[board.device]["serial"], 16) == certificate.serial_number


def test_what_a_thief_reads_in_the_flash_of_a_vault_is_no_key(pages):
    page, vault = pages
    for board, readable in ((page, True), (vault, False)):
        flash = (board.directory / "flash.bin").read_bytes()
        assert (board.nvs()["key0"] in flash) is readable


def test_a_revoked_esp32_loses_its_session_and_its_page(site, pages):
    board = pages[1]
    run(site, "revoke", board.device)
    wait_for(lambda: "identity in slot 0 is not accepted: the gateway answers 401" in board.console(), 60)
    wait_for(lambda: "no recovery: the gateway answers 403" in board.console(), 30)
