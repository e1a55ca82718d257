"""What is written to a board with flash encryption; espsecure says whether the chip would read it."""

import secrets as random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fleetmint.batch import secrets
from fleetmint.batch.create import plan_batch
from fleetmint.batch.secure_cert import holder
from fleetmint.batch.spec import read_batch
from fleetmint.bench.regions import Regions
from fleetmint.bench.secure_images import encrypted_regions
from fleetmint.errors import FleetmintError, ImageError
from fleetmint.flash.burn import burn
from fleetmint.flash.firmware import read_firmware
from fleetmint.flash.job import Board, Job, Region
from fleetmint.flash.table import Partition, PartitionTable
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.decode import decode
from virtual.esp32 import fleet
from virtual.esp32.firmware import install

NVS = Partition("nvs", 1, 2, 0x9000, 0x4000)
KEYS = Partition("nvs_keys", 1, 4, 0xD000, 0x1000, flags=1)
OWN = Partition("esp_secure_cert", 0x3F, 0, 0xE000, 0x2000, flags=1)
APP = Partition("factory", 0, 0, 0x10000, 0x20000)
TABLE = PartitionTable((NVS, KEYS, OWN, APP))
BATCH = """\
prefix: vault
chip: esp32c3
nvs_encryption: flash
flash_encryption: aes128
identity: esp_secure_cert
devices: [{count: 1, key_origin: factory}]
"""
BOARD = Board("24:0a:c4:00:00:01", "esp32c3", 0x400000)


@pytest.fixture
def known(tmp_path, common, location, hierarchy, now):
    (tmp_path / "vaults.yml").write_text(BATCH)
    plan_batch(read_batch(tmp_path / "vaults.yml"), common, location, hierarchy, now).apply()
    assert not plan_batch(read_batch(tmp_path / "vaults.yml"), common, location, hierarchy, now).changed
    return secrets.load(location.directory, hierarchy.source)


def regions_of(known, now, table=TABLE):
    flash = bytearray(b"\xff" * 0x20000)
    flash[0x8000:0x8C00] = table.to_bytes()
    install(flash, "esp32c3", "vault")
    made = Regions(known, Path(), read_firmware(bytes(flash), "esp32c3"))
    found = encrypted_regions(made, "vault-000001", BOARD, known.of("vault-000001").flash_key, now)
    return {region.name: region for region in found}


def read_by_the_chip(directory, region, key):
    (directory / "sealed").write_bytes(region.data)
    (directory / "key").write_bytes(key)
    program = [Path(sys.executable).with_name("espsecure"), "decrypt-flash-data", "--aes-xts", "--keyfile", "key"]
    command = [*program, "--address", hex(region.offset), "--output", "plain", "sealed"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return (directory / "plain").read_bytes()


def test_all_but_the_nvs_is_encrypted_and_the_nvs_opens_with_its_keys(known, now, tmp_path):
    found, key = regions_of(known, now), known.of("vault-000001").flash_key
    assert [*found] == ["bootloader", "partition table", "factory", "nvs_keys", "esp_secure_cert", "nvs"]
    plain = {name: read_by_the_chip(tmp_path, region, key) for name, region in found.items() if name != "nvs"}
    assert plain["partition table"].startswith(TABLE.to_bytes())
    assert holder(plain["esp_secure_cert"]) == "vault-000001"
    keys = NvsKeys.from_partition(plain["nvs_keys"])
    assert decode(found["nvs"].data, keys=keys)["fleetmint"]["device_id"] == b"vault-000001"
    assert holder(found["esp_secure_cert"].data) is None
    assert repr(key) not in repr(known.of("vault-000001"))


def test_a_place_for_a_key_that_the_chip_would_not_decrypt_is_refused(known, now):
    rows = (NVS, KEYS, replace(OWN, flags=0), APP)
    with pytest.raises(ImageError, match="'esp_secure_cert' is not marked `encrypted`"):
        regions_of(known, now, PartitionTable(rows))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chip: esp32c3\nflash_encryption: aes256", "flash_encryption 'aes256' is unknown: choose one of none, aes128"),
        ("chip: esp32\nflash_encryption: aes128", "flash_encryption is for esp32s3, esp32c3, esp32c6"),
        ("chip: esp32c3\nflash_encryption: aes128", "leaves the NVS plain: say nvs_encryption, hmac or flash, too"),
        ("chip: esp32c3\nnvs_encryption: hmac\nlayout: 4MiB\nflash_encryption: aes128", "layout has to be firmware"),
    ],
)
def test_a_batch_that_cannot_be_secured_is_refused_with_its_line(tmp_path, line, message):
    path = tmp_path / "vaults.yml"
    path.write_text(f"prefix: vault\n{line}\ndevices: [{{count: 1}}]\n")
    with pytest.raises(FleetmintError, match=message) as raised:
        read_batch(path)
    assert f"{path}, line {2 + line.count(chr(10))}: " in str(raised.value)


def test_a_batch_keeps_whether_its_flash_is_encrypted(known, tmp_path, common, location, hierarchy, now):
    path = tmp_path / "vaults.yml"
    path.write_text(BATCH.replace("flash_encryption: aes128\n", ""))
    with pytest.raises(FleetmintError, match="was made with flash_encryption: aes128: what is made stays"):
        plan_batch(read_batch(path), common, location, hierarchy, now)


def test_ciphertext_that_begins_like_an_image_is_written_as_it_is(tmp_path):
    data = b"\xe9\x02" + random.token_bytes(0x1FFE)
    (port,) = fleet.up(tmp_path, 1, ["--chip", "esp32c3", "--boot", "sleep", "60"])
    try:
        burn(Job(str(port), "esp32c3", (Region(0, data, "bootloader"),), encrypted=True))
    finally:
        fleet.down(tmp_path)
    assert (tmp_path / "boards/1/flash.bin").read_bytes()[: len(data)] == data
