"""The judge is espsecure, as a program."""

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from fleetmint.flash.encryption import encrypt


@pytest.mark.parametrize(("offset", "size"), [(0, 0x80), (0x8000, 0x1000), (0x1F0080, 0x2180)])
def test_espsecure_decrypts_what_was_encrypted(tmp_path, offset, size):
    data, key = secrets.token_bytes(size), secrets.token_bytes(32)
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "sealed").write_bytes(encrypt(data, offset, key))
    program = [Path(sys.executable).with_name("espsecure"), "decrypt-flash-data", "--aes-xts", "--keyfile", "key"]
    subprocess.run(
        [*program, "--address", hex(offset), "--output", "plain", "sealed"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    assert (tmp_path / "plain").read_bytes() == data


def test_only_whole_data_units_are_taken():
    with pytest.raises(ValueError, match="whole data units"):
        encrypt(bytes(0x80), 0x40, bytes(32))
    with pytest.raises(ValueError, match="whole data units"):
        encrypt(bytes(0x81), 0, bytes(32))
