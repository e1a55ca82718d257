"""What a flash or a part of it says about its device, and what stays hidden."""

import json

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from esp_idf_nvs_partition_gen import nvs_partition_gen as espressif

from fleetmint.bench.inspect import inspect_flash
from fleetmint.errors import ImageError, NvsError
from fleetmint.flash.app import make_image
from fleetmint.flash.table import TABLE_OFFSET, Partition, PartitionTable, stock
from fleetmint.nvs.crypt import NvsKeys
from fleetmint.nvs.decode import decode
from fleetmint.nvs.encode import encode
from fleetmint.trust.inspect import bundle_findings
from fleetmint.x509 import keys

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


@pytest.fixture
def espressifs(tmp_path):
    """What Espressif's generator makes of some values: the encrypted image, and the files that open it."""
    (tmp_path / "values.csv").write_text(
        "key,type,encoding,value\nstorage,namespace,,\npass,data,string,hunter2hunter2\ncount,data,u16,7\n"
    )

    def make(*options):
        command = ["encrypt", str(tmp_path / "values.csv"), "nvs.bin", "0x5000", "--outdir", str(tmp_path)]
        done = CliRunner().invoke(espressif._build_cli(), [*command, "--keygen", "--keyfile", "keys.bin", *options])
        assert done.exit_code == 0, done.output
        return (tmp_path / "nvs.bin").read_bytes(), tmp_path / "keys"

    return make


def test_an_nvs_that_espressifs_generator_encrypted_opens_with_its_keys(espressifs, now):
    image, keys_of = espressifs()
    opened = NvsKeys.from_file((keys_of / "keys.bin").read_bytes(), "keys.bin")
    (found,) = inspect_flash(image, now, opened)
    assert found.title == "an encrypted NVS partition of 20480 bytes: no device of Fleetmint"
    assert [row["name"] for row in found.facts["entries"]["storage"]] == ["pass", "count"]
    assert "hunter2" not in repr(found)


def test_an_hmac_key_of_espressifs_generator_opens_what_it_protects(espressifs, now):
    image, keys_of = espressifs("--key_protect_hmac", "--kp_hmac_keygen", "--kp_hmac_keyfile", "hmac.bin")
    opened = NvsKeys.from_file((keys_of / "hmac.bin").read_bytes(), "hmac.bin")
    assert "storage" in inspect_flash(image, now, opened)[0].facts["entries"]


def test_an_encrypted_nvs_is_told_without_keys_and_refuses_others(nvs, now):
    plain, _ = nvs
    secret = NvsKeys.new()
    image = encode(decode(plain), SIZE, secret)
    found = inspect_flash(image, now, secret)
    assert found[0].title == f"an encrypted NVS partition of {SIZE} bytes: the device lamp-000001"
    assert found[1:] == inspect_flash(plain, now)[1:]
    assert inspect_flash(plain, now, secret) == inspect_flash(plain, now)
    assert "encrypted (--nvs-keys opens it), or damaged" in inspect_flash(image, now)[0].title
    with pytest.raises(NvsError, match="keys do not open this NVS"):
        inspect_flash(image, now, NvsKeys.new())


def test_damage_in_an_encrypted_nvs_is_told_as_that(nvs, now):
    secret = NvsKeys.new()
    image = bytearray(encode(decode(nvs[0]), SIZE, secret))
    image[64 + 2 * 32] ^= 1
    with pytest.raises(NvsError, match="the NVS is damaged: the data of entry 1 of page 0"):
        inspect_flash(bytes(image), now, secret)


def test_a_flash_with_an_encrypted_nvs_shows_the_rest_without_keys(nvs, now):
    secret, table = NvsKeys.new(), PartitionTable(
        (Partition("nvs", 1, 2, 0x9000, SIZE), Partition("nvs_key", 1, 4, 0xF000, 0x1000))
    )  # fmt: skip
    flash = bytearray(b"\xff" * 0x20000)
    flash[TABLE_OFFSET : TABLE_OFFSET + 0xC00] = table.to_bytes()
    flash[0x9000:0xF000] = encode(decode(nvs[0]), SIZE, secret)
    flash[0xF000:0x10000] = secret.to_partition()
    kinds = [finding.kind for finding in inspect_flash(bytes(flash), now)]
    assert kinds == ["partition table", "NVS", "NVS keys"]
    opened = inspect_flash(bytes(flash), now, secret)
    assert "lamp-000001" in opened[1].title
    assert secret.data.hex() not in repr(opened)


def test_an_nvs_that_is_cut_off_or_empty_is_told(nvs, now):
    with pytest.raises(NvsError, match="5000 bytes, which are no whole pages of 4096"):
        inspect_flash(nvs[0][:5000], now)
    empty = nvs[0][:32] + b"\xff" * (SIZE - 32)
    assert inspect_flash(empty, now)[0].title == f"an NVS partition of {SIZE} bytes: no entry"


def test_a_keys_partition_is_told_without_its_keys(now):
    secret = NvsKeys.new()
    (found,) = inspect_flash(secret.to_partition(), now)
    assert found.kind == "NVS keys"
    assert secret.data.hex() not in repr(found)


def test_a_bundle_that_was_changed_is_told(nvs, hierarchy, now):
    good = (hierarchy.directory / "bundle.bin").read_bytes()
    assert bundle_findings(good, now, "bundle.bin")[0].title == "the trust bundle 0.1 of test"
    forged = good[:-1] + bytes([good[-1] ^ 1])
    assert "not signed by the release key" in bundle_findings(forged, now, "bundle.bin")[0].title


def test_a_whole_flash_shows_table_nvs_and_program(nvs, now):
    table = stock("4MiB")
    flash = bytearray(b"\xff" * 0x400000)
    flash[TABLE_OFFSET : TABLE_OFFSET + 0xC00] = table.to_bytes()
    location = table.find("nvs")
    flash[location.offset : location.end] = nvs[0]
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
