"""The judges are littlefs itself, set up as on the chip, and MicroPython's."""

import json
import struct
import subprocess

import pytest
from littlefs import LittleFS, LittleFSError

from fleetmint.errors import ImageError
from fleetmint.flash.app import Geometry, make_image
from fleetmint.flash.esp8266 import LAYOUTS_8266, file_system, file_system_image, firmware_region

FILES = {
    "fleetmint/device_id": b"lamp-000001",
    "fleetmint/https_port": b"443",
    "fleetmint/bundle": bytes(range(256)) * 6,
    "fleetmint/empty": b"",
    "app/curve": bytes(20000),
}


def mounted(image, layout):
    """Return the image as the ESP8266 Arduino core sees it: its littlefs knows 2.0 and names of 32."""
    place = file_system(layout)
    fs = LittleFS(
        mount=False,
        block_size=place.block_size,
        block_count=place.size // place.block_size,
        read_size=64,
        prog_size=64,
        cache_size=64,
        lookahead_size=64,
        name_max=32,
        disk_version=0x20000,
    )
    fs.context.buffer = bytearray(image.ljust(place.size, b"\x5a"))
    fs.mount()
    return fs


def content(fs):
    found = {}
    for place, _, names in fs.walk("/"):
        for name in names:
            path = f"{place}/{name}".strip("/")
            with fs.open(path, "rb") as file:
                found[path] = file.read()
    return found


@pytest.mark.parametrize("layout", LAYOUTS_8266)
def test_the_chip_reads_the_files_and_can_write_more(layout):
    fs = mounted(file_system_image(FILES, layout), layout)
    assert content(fs) == FILES
    with fs.open("fleetmint/key0", "wb") as file:
        file.write(b"made on the board")
    assert content(fs) == FILES | {"fleetmint/key0": b"made on the board"}


@pytest.mark.parametrize("layout", LAYOUTS_8266)
def test_a_layout_is_whole_blocks_within_its_flash(layout):
    place = file_system(layout)
    assert place.size % place.block_size == place.offset % 0x1000 == 0
    # behind it are EEPROM, RF calibration and the SDK's own settings: 20 KiB
    assert place.offset + place.size <= place.flash_size - 0x5000


def test_the_superblock_is_one_that_the_cores_littlefs_takes():
    image = file_system_image(FILES, "4M2M")
    assert image[8:16] == b"littlefs"
    version, block_size, _, name_max = struct.unpack_from("<4I", image, 20)
    assert (version, block_size, name_max) == (0x20000, 0x2000, 32)


def test_a_superblock_with_longer_names_would_be_refused_by_the_chip():
    with pytest.raises(LittleFSError):
        mounted(make_image(FILES, file_system("4M2M").size, Geometry(0x2000, 64, 64, 64, version=0x20000)), "4M2M")


def test_the_same_files_give_the_same_bytes_and_only_blocks_in_use():
    image = file_system_image(FILES, "4M2M")
    assert file_system_image(dict(reversed(FILES.items())), "4M2M") == image
    assert len(image) == 16 * 0x2000


@pytest.mark.micropython
def test_another_littlefs_mounts_the_image(tmp_path, micropython):
    place = file_system("4M2M")
    (tmp_path / "fs.bin").write_bytes(file_system_image(FILES, "4M2M").ljust(place.size, b"\xff"))
    (tmp_path / "mount.py").write_text(f"""
import json, os
class Device:
    file = open({str(tmp_path / "fs.bin")!r}, "rb")
    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * {place.block_size} + offset)
        self.file.readinto(buffer)
    def writeblocks(self, block, buffer, offset=0):
        raise OSError(30)
    def ioctl(self, operation, argument):
        return {{4: {place.size // place.block_size}, 5: {place.block_size}}}.get(operation, 0)
os.mount(os.VfsLfs2(Device(), readsize=64, progsize=64, lookahead=64), "/flash")
print(json.dumps([open("/flash/" + path, "rb").read().hex() for path in {list(FILES)!r}]))
""")
    run = subprocess.run([micropython, tmp_path / "mount.py"], capture_output=True, text=True, timeout=20)
    assert run.returncode == 0, run.stdout + run.stderr
    assert [bytes.fromhex(text) for text in json.loads(run.stdout)] == list(FILES.values())


def test_an_unknown_layout_is_refused():
    with pytest.raises(ImageError, match="no layout '4MiB'; choose one of 1M64, 1M512, 2M1M"):
        file_system_image(FILES, "4MiB")


@pytest.mark.parametrize("path", ["fleetmint/" + "x" * 32, "/device_id", "a//b"])
def test_a_path_that_the_chip_cannot_open_is_refused(path):
    with pytest.raises(ImageError, match="is no path on an esp8266"):
        file_system_image({path: b""}, "4M2M")


def test_files_that_do_not_fit_are_refused():
    with pytest.raises(ImageError, match="do not fit into 0x10000 bytes"):
        file_system_image({"big": bytes(0x10000)}, "1M64")


def test_firmware_lies_before_the_file_system():
    assert firmware_region(b"\xe9" * 0xEB000, "1M64").offset == 0
    with pytest.raises(ImageError, match="reaches into the file system of layout 1M64"):
        firmware_region(b"\xe9" * 0xEB001, "1M64")


def test_a_file_that_is_no_firmware_or_not_the_chosen_one_is_refused():
    with pytest.raises(ImageError, match="does not start with E9"):
        firmware_region(b"", "4M2M")
    with pytest.raises(ImageError, match="it is not the file you chose"):
        firmware_region(b"\xe9", "4M2M", "00" * 32)
