"""The firmware as a board has it: its modules in a directory, or in a flash as the factory leaves it."""

import shutil
from importlib import resources
from pathlib import Path

from fleetmint.flash.app import build_app_image
from fleetmint.flash.table import TABLE_OFFSET, stock
from fleetmint.nvs import keys
from fleetmint.nvs.encode import encode
from tests.support.firmware_boards import ROOT


def modules_in(directory: Path) -> Path:
    """Put the modules with the names of the NVS keys there, and beside them the doubles; return the directory."""
    shutil.copytree(ROOT / "firmware" / "agent", directory / "agent")
    names = resources.files("fleetmint.nvs").joinpath("keys.py").read_text()
    (directory / "agent" / "nvs_keys.py").write_text(names)
    for double in (ROOT / "tests" / "firmware" / "doubles").glob("*.py"):
        shutil.copy(double, directory)
    return directory


def flash_in(directory: Path, values: dict[str, int | bytes], main: str | None = None) -> Path:
    """Write flash.bin: table, program (with another main.py if one is given), and an NVS with these values."""
    table = stock("4MiB")
    flash = bytearray(b"\xff" * 0x400000)
    program = ROOT / "firmware"
    if main is not None:
        program = directory / "program"
        shutil.copytree(ROOT / "firmware", program)
        (program / "main.py").write_text(main)
    vfs, nvs = table.find("vfs"), table.find("nvs")
    for offset, data in (
        (TABLE_OFFSET, table.to_bytes()),
        (nvs.offset, encode({keys.NAMESPACE: values}, nvs.size)),
        (vfs.offset, build_app_image(program, vfs.size)),
    ):
        flash[offset : offset + len(data)] = data
    path = directory / "flash.bin"
    path.write_bytes(flash)
    return path
