"""The judge is Espressif's esp-secure-cert-tool, which writes the same bytes and reads ours."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fleetmint.errors import ImageError
from fleetmint.flash.secure_cert import (
    CA_CERTIFICATE,
    DEVICE_CERTIFICATE,
    PRIVATE_KEY,
    SIZE,
    Entry,
    decode,
    encode,
    numbered,
    place_of,
)
from fleetmint.flash.table import Partition, PartitionTable
from fleetmint.x509 import keys

ROW = Partition("esp_secure_cert", 0x3F, 0, 0xD000, 0x2000, flags=1)
NVS = Partition("nvs", 1, 2, 0x9000, 0x4000)


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "espressif"
    path.mkdir()
    return path


@pytest.fixture
def tool(directory):
    """Run Espressif's tool in a directory of its own."""

    def run(*arguments):
        program = Path(sys.executable).with_name("configure_esp_secure_cert.py")
        done = subprocess.run([program, *arguments], cwd=directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def pems(hierarchy, now):
    """CA certificate, device certificate and key of one device, as PEM."""
    key = keys.new_key()
    leaf = hierarchy.authority("factory").issue("factory-device", key.public_key(), "lamp-000001", now=now)
    pem = serialization.Encoding.PEM
    form, no = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    anchor = x509.load_pem_x509_certificate((hierarchy.directory / "server/ca.crt").read_bytes())
    return anchor.public_bytes(pem), leaf.public_bytes(pem), key.private_bytes(pem, form, no)


@pytest.fixture
def entries(pems):
    anchor, leaf, key = (pem + b"\0" for pem in pems)
    return (Entry(CA_CERTIFICATE, anchor), Entry(DEVICE_CERTIFICATE, leaf), Entry(PRIVATE_KEY, key))


def test_the_partition_is_byte_for_byte_that_of_espressifs_tool(tool, directory, pems, entries):
    for name, content in zip(("ca", "leaf", "key"), pems, strict=True):
        (directory / name).write_bytes(content)
    command = ("--ca-cert", "ca", "--device-cert", "leaf", "--private-key", "key", "--priv_key_algo", "ECDSA", "256")
    tool("--target_chip", "esp32s3", *command, "--skip_flash")
    made = (directory / "esp_secure_cert_data/esp_secure_cert.bin").read_bytes()
    assert encode(entries) == made.ljust(SIZE, b"\xff")
    assert decode(made) == entries


def test_espressifs_tool_reads_all_that_was_written(tool, directory, entries):
    both = numbered(CA_CERTIFICATE, [entries[0].data, entries[1].data])
    (directory / "ours.bin").write_bytes(encode((*both, *entries[1:])))
    tool("--parse_bin", "ours.bin")
    found = directory / "esp_secure_cert_parsed_data/contents"
    for name, entry in zip(("cacert_0_0", "cacert_0_1", "devcert_1_0"), (*both, entries[1]), strict=True):
        assert (found / f"{name}.pem").read_bytes() == entry.data[:-1]
    # which it writes in another form
    read = serialization.load_pem_private_key((found / "privkey_2_0.pem").read_bytes(), None)
    assert keys.device_der(read) == keys.device_der(serialization.load_pem_private_key(entries[2].data[:-1], None))


def test_a_key_is_shown_nowhere(entries):
    assert entries[2].data.decode() not in repr(entries)
    assert "BEGIN" not in repr(entries)


def test_erased_flash_and_anything_else_has_no_entries():
    assert decode(b"\xff" * SIZE) == decode(b"") == decode(b"something else") == ()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:20] + b"?" + data[21:], "entry 1 has a wrong CRC"),
        (lambda data: data[:900], "cut off in entry"),
        (lambda data: data[:6], "cut off in entry 1"),
    ],
)
def test_a_damaged_partition_is_refused_with_the_entry(entries, spoil, message):
    with pytest.raises(ImageError, match=message):
        decode(spoil(encode(entries)))


def test_an_entry_that_was_exchanged_is_noticed_by_the_integrity(entries):
    def length(parts):
        return sum(16 + len(each.data) + -len(each.data) % 16 for each in parts)

    other = (entries[1], *entries[1:])
    spoiled = encode(other)[: length(other)] + encode(entries)[length(entries) :]
    with pytest.raises(ImageError, match="integrity entry is not of what lies before it"):
        decode(spoiled)


def test_what_does_not_fit_is_refused(entries):
    with pytest.raises(ImageError, match=r"takes \d+ bytes, and the partition 'esp_secure_cert' has 1024"):
        encode(entries, 1024)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((NVS,), "has no partition 'esp_secure_cert' of type 0x3f: use firmware"),
        ((NVS, Partition("esp_secure_cert", 1, 2, 0xD000, 0x6000)), "has no partition 'esp_secure_cert' of type"),
        ((NVS, Partition("esp_secure_cert", 0x3F, 0, 0xD000, 0x1000)), "has 0x1000 bytes, and has to have 0x2000"),
        ((NVS, Partition("esp_secure_cert", 0x3F, 0, 0xC000, 0x2000)), "'esp_secure_cert' overlaps 'nvs'"),
        ((Partition("esp_secure_cert", 0x3F, 0, 0x9100, 0x2000),), "does not start with a sector"),
    ],
)
def test_a_table_without_a_place_for_it_is_refused(rows, message):
    with pytest.raises(ImageError, match=message):
        place_of(PartitionTable(rows))


def test_its_row_is_nothing_unusual():
    table = PartitionTable((NVS, ROW))
    assert place_of(table) == ROW
    assert table.remarks() == ()
