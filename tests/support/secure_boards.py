"""Boards with eFuses, keys of secure boot, and firmware that is signed with them: for `fleetmint secure`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fleetmint.flash.table import Partition, PartitionTable
from virtual.esp32.firmware import image

CHIP = "esp32s3"
NVS = Partition("nvs", 1, 2, 0x9000, 0x4000)
OTA = Partition("otadata", 1, 0, 0xD000, 0x2000)
APP = Partition("ota_0", 0, 0x10, 0x10000, 0x20000)
TABLE = PartitionTable((NVS, OTA, APP, Partition("ota_1", 0, 0x11, 0x30000, 0x20000)))


@pytest.fixture(scope="session")
def boot_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two keys of secure boot: NAME.pem, which signs, and NAME.pub, for `one` and `two`."""
    directory = tmp_path_factory.mktemp("boot-keys")
    for name in ("one", "two"):
        key = rsa.generate_private_key(65537, 3072)
        pem, form, no = serialization.Encoding.PEM, serialization.PrivateFormat, serialization.NoEncryption()
        (directory / f"{name}.pem").write_bytes(key.private_bytes(pem, form.TraditionalOpenSSL, no))
        public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
        (directory / f"{name}.pub").write_bytes(public)
    return directory


@pytest.fixture(scope="session")
def signed_firmware(boot_keys: Path) -> Path:
    """A file as esptool merge-bin makes it, whose bootloader and program `one` has signed."""
    return make_firmware(boot_keys, "firmware.bin", "one")


def make_firmware(directory: Path, name: str, signer: str | None, table: PartitionTable = TABLE) -> Path:
    """Write a firmware; without a signer it is not signed."""
    flash = bytearray(b"\xff" * APP.end)
    flash[0x8000:0x8C00] = table.to_bytes()
    for offset, project in ((0, ""), (APP.offset, "vault")):
        made = image(CHIP, project)
        if signer is not None:
            (directory / "part.bin").write_bytes(made)
            key = ("--keyfile", f"{signer}.pem", "--output", "signed.bin")
            tool("espsecure", "sign-data", "--version", "2", *key, "part.bin", cwd=directory)
            made = (directory / "signed.bin").read_bytes()
        flash[offset : offset + len(made)] = made
    (directory / name).write_bytes(flash)
    return directory / name


def tool(name: str, *arguments: object, cwd: Path) -> str:
    """Run one of Espressif's programs, and return what it said."""
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def summary(efuses: Path) -> dict[str, Any]:
    """Return what espefuse says of the eFuses in a file: field → its value and whether it can be read and written."""
    said = tool(
        "espefuse", "--chip", CHIP, "--virt", "--path-efuse-file", efuses, "summary", "--format", "json",
        cwd=efuses.parent,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(said[said.index("{") : said.rindex("}") + 1])
    return found
