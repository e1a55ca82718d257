import hashlib
import json
import subprocess
from importlib import resources

import pytest
from littlefs import LittleFS

from fleetmint.errors import ImageError
from fleetmint.flash.app import BLOCK_SIZE, build_app_image, make_image

SIZE = 0x200000


@pytest.fixture
def firmware(tmp_path):
    directory = tmp_path / "firmware"
    (directory / "agent").mkdir(parents=True)
    (directory / "boot.py").write_bytes(b"# boot\n")
    (directory / "main.py").write_bytes(b"import agent\n" * 300)
    (directory / "agent" / "__init__.py").write_bytes(b"")
    (directory / "agent" / "big.py").write_bytes(bytes(range(256)) * 100)
    (directory / "agent" / "README.md").write_bytes(b"not a program")
    (directory / "tests.py").write_bytes(b"not a part of it")
    return directory


def content(image, size):
    """Return path → content of a littlefs image of a file system of `size` bytes, as another littlefs reads it."""
    fs = LittleFS(block_size=BLOCK_SIZE, block_count=size // BLOCK_SIZE, mount=False)
    fs.context.buffer[: len(image)] = image
    fs.mount()
    paths = [f"{root}/{name}".strip("/") for root, _, names in fs.walk("/") for name in names]
    files = {}
    for path in paths:
        with fs.open(path, "rb") as file:
            files[path] = file.read()
    return files


def test_the_image_holds_the_program_and_the_names_of_the_nvs_keys(firmware):
    files = content(build_app_image(firmware, SIZE), SIZE)
    assert set(files) == {
        "boot.py",
        "main.py",
        "agent/__init__.py",
        "agent/big.py",
        "agent/nvs_keys.py",
    }
    assert files["agent/big.py"] == bytes(range(256)) * 100
    assert files["agent/nvs_keys.py"] == resources.files("fleetmint.nvs").joinpath("keys.py").read_bytes()


def test_the_names_of_the_nvs_keys_are_the_librarys_whatever_the_firmware_has(firmware):
    image = build_app_image(firmware, SIZE)
    (firmware / "agent" / "nvs_keys.py").write_bytes(b"DEVICE_ID = 'another'\n")
    assert build_app_image(firmware, SIZE) == image


def test_the_same_files_give_the_same_bytes(firmware):
    first = build_app_image(firmware, SIZE)
    for path in firmware.rglob("*.py"):
        path.write_bytes(path.read_bytes())
    assert build_app_image(firmware, SIZE) == first
    (firmware / "main.py").write_bytes(b"other")
    assert build_app_image(firmware, SIZE) != first


def test_only_the_blocks_in_use_are_part_of_the_image(firmware):
    image = build_app_image(firmware, SIZE)
    assert len(image) == 16 * BLOCK_SIZE


@pytest.mark.micropython
def test_micropython_mounts_the_image_in_a_flash_full_of_something_else_and_writes_to_it(
    firmware, tmp_path, micropython
):
    image = build_app_image(firmware, SIZE)
    flash = tmp_path / "flash.bin"
    flash.write_bytes(image + b"\x5a" * (SIZE - len(image)))
    script = tmp_path / "mount.py"
    script.write_text(f"""
import hashlib, json, os
class Device:
    def __init__(self):
        self.file = open({str(flash)!r}, "r+b")
    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.readinto(buffer)
    def writeblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.write(buffer)
    def ioctl(self, operation, argument):
        return {{4: {SIZE // BLOCK_SIZE}, 5: 4096}}.get(operation, 0)
os.mount(os.VfsLfs2(Device()), "/flash")
with open("/flash/new", "wb") as file:
    for _ in range(100):
        file.write(b"x" * 4096)
paths = ["boot.py", "main.py", "agent/__init__.py", "agent/big.py", "new"]
print(json.dumps({{path: hashlib.sha256(open("/flash/" + path, "rb").read()).digest().hex() for path in paths}}))
print(json.dumps(os.statvfs("/flash")[2]))
""")
    run = subprocess.run([micropython, script], capture_output=True, text=True, timeout=20)
    assert run.returncode == 0, run.stdout + run.stderr
    digests, blocks = map(json.loads, run.stdout.splitlines())
    expected = {path: (firmware / path).read_bytes() for path in digests if path != "new"} | {"new": b"x" * 409600}
    assert digests == {path: hashlib.sha256(data).hexdigest() for path, data in expected.items()}
    assert blocks == SIZE // BLOCK_SIZE


@pytest.mark.parametrize("missing", ["boot.py", "main.py"])
def test_a_firmware_that_lacks_a_part_is_refused(firmware, missing):
    (firmware / missing).unlink()
    with pytest.raises(ImageError, match=f"cannot read the firmware's .*{missing}: No such file"):
        build_app_image(firmware, SIZE)


def test_a_firmware_without_agent_is_refused(firmware):
    for path in (firmware / "agent").iterdir():
        path.unlink()
    with pytest.raises(ImageError, match="there is no agent in "):
        build_app_image(firmware, SIZE)


def test_a_program_that_does_not_fit_is_refused(firmware):
    (firmware / "agent" / "huge.py").write_bytes(bytes(60000))
    with pytest.raises(ImageError, match=r"do not fit into 0x10000 bytes"):
        build_app_image(firmware, 0x10000)
    assert len(build_app_image(firmware, 0x40000)) <= 0x40000


@pytest.mark.parametrize("size", [0, BLOCK_SIZE, 0x10001])
def test_a_place_that_is_no_file_system_is_refused(size):
    with pytest.raises(ImageError, match="at least 8 blocks"):
        make_image({"boot.py": b""}, size)
