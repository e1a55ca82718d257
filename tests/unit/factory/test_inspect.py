"""What a flash or a part of it says about its device, and what stays hidden."""

import json

import pytest
from cryptography.hazmat.primitives import serialization

from fleetmint.errors import ImageError, NvsError
from fleetmint.factory.inspect import inspect_flash
from fleetmint.flash.app import make_image
from fleetmint.flash.table import TABLE_OFFSET, Partition, PartitionTable, stock
from fleetmint.nvs.encode import encode
from fleetmint.pki import keys
from fleetmint.pki.inspect import bundle_findings

SIZE = 0x6000
SECRETS = (b"a-token-of-32-characters-or-more", b"the wifi passphrase", b"what a later version stores")


@pytest.fixture
def nvs(hierarchy, now):
    key = keys.new_key()
    leaf = hierarchy.authority("factory").issue("factory-device", key.public_key(), "lamp-000001", now=now)
    der = serialization.Encoding.DER
    values = {
        "device_id": b"lamp-000001",
        "token": SECRETS[0],
        "wifi_ssid": b"workshop",
        "wifi_psk": SECRETS[1],
        "gateway": b"gateway.local",
        "https_port": 443,
        "slot": 0,
        "bundle": (hierarchy.directory / "bundle.bin").read_bytes(),
        "key0": keys.device_der(key),
        "cert0": leaf.public_bytes(der),
        "later": SECRETS[2],
    }
    return encode({"fleetmint": values}, SIZE), key


def test_an_nvs_shows_ids_sizes_and_certificates_and_no_secret(nvs, now):
    image, key = nvs
    found = inspect_flash(image, now)
    assert [finding.kind for finding in found] == ["NVS", "trust bundle", "certificate", "certificate", "certificate"]
    assert found[0].title == f"an NVS partition of {SIZE} bytes: the device lamp-000001"
    rows = {row["name"]: row for row in found[0].facts["entries"]["fleetmint"]}
    assert rows["gateway"]["value"] == "gateway.local"
    assert rows["https_port"]["value"] == 443
    assert {name for name, row in rows.items() if row.get("secret")} == {"token", "wifi_psk", "key0", "later"}
    text = json.dumps([dict(finding.facts) for finding in found])
    for secret in SECRETS:
        assert secret.decode() not in text
    assert f"{key.private_numbers().private_value:x}" not in text


def test_a_bundle_that_was_changed_is_told(nvs, hierarchy, now):
    good = (hierarchy.directory / "bundle.bin").read_bytes()
    assert bundle_findings(good, now, "bundle.bin")[0].title == "the trust bundle 0.1 of test"
    forged = good[:-1] + bytes([good[-1] ^ 1])
    assert "not signed by the release key" in bundle_findings(forged, now, "bundle.bin")[0].title


def test_a_whole_flash_shows_table_nvs_and_program(nvs, now):
    table = stock("4MiB")
    flash = bytearray(b"\xff" * 0x400000)
    flash[TABLE_OFFSET : TABLE_OFFSET + 0xC00] = table.to_bytes()
    place = table.find("nvs")
    flash[place.offset : place.end] = nvs[0]
    vfs = table.find("vfs")
    program = make_image({"main.py": b"print(1)\n", "agent/x.py": b"y"}, vfs.size)
    flash[vfs.offset : vfs.offset + len(program)] = program
    found = inspect_flash(bytes(flash), now)
    assert [finding.kind for finding in found] == [
        "partition table",
        "NVS",
        "trust bundle",
        *["certificate"] * 3,
        "littlefs",
    ]
    assert {row["name"] for row in found[-1].facts["files"]} == {"/main.py", "/agent/x.py"}
    assert [row["name"] for row in found[0].facts["partitions"]] == [p.name for p in table.partitions]


def test_a_table_as_boards_in_the_field_have_it_is_listed_with_remarks(now):
    rows = (
        Partition("PrimaryBTLDR", 2, 0, 0x1000, 0x7000),
        Partition("nvs", 1, 2, 0x9000, 0x5000),
        Partition("ota_1", 0, 0x11, 0x3D000, 0x3000),
        Partition("\x1b[2J", 1, 0x82, 0x5C6C0, 0x982680),
        Partition("ffat", 1, 0x81, 0x310000, 0xF0000),
    )
    table = PartitionTable(rows).to_bytes()
    flash = bytearray(b"\xff" * 0x800000)
    flash[TABLE_OFFSET : TABLE_OFFSET + len(table)] = table
    alone, whole = inspect_flash(table, now), inspect_flash(bytes(flash), now)
    assert [finding.kind for finding in whole] == ["partition table"]
    found = whole[0].facts["partitions"]
    assert [row["kind"] for row in found[:3]] == ["bootloader primary", "data nvs", "app ota_1"]
    assert ["remark" in row for row in found] == [False, False, True, True, True]
    assert found[2]["remark"] == "at 0x3d000 does not start at a multiple of 0x10000"
    assert found[3]["name"] == r"\x1b[2J"
    assert "behind a flash of 0x800000 bytes" in found[3]["remark"]
    assert "behind a flash" not in alone[0].facts["partitions"][3]["remark"]


def test_a_program_image_and_a_table_alone(now):
    program = make_image({"main.py": b"print(1)\n"}, 0x100000)
    assert inspect_flash(program, now)[0].facts["files"] == [{"name": "/main.py", "bytes": 9}]
    assert inspect_flash(stock("4MiB").to_bytes(), now)[0].kind == "partition table"


def test_damage_is_told(nvs, now):
    image = bytearray(nvs[0])
    image[64 + 40] ^= 1
    with pytest.raises(NvsError, match="damaged"):
        inspect_flash(bytes(image), now)
    with pytest.raises(ImageError):
        inspect_flash(b"\xaa\x50" + bytes(0xBFE), now)
    with pytest.raises(ImageError, match="littlefs is damaged"):
        inspect_flash(b"x" * 8 + b"littlefs" + bytes(4096), now)


@pytest.mark.parametrize("data", [b"", b"hello", bytes(4096), b"\xff" * 4096])
def test_anything_else_is_nothing(now, data):
    assert inspect_flash(data, now) == []
