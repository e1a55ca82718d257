"""The device's program as a littlefs image: what MicroPython mounts at / and runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from fleetmint.errors import ImageError

BLOCK_SIZE = 4096
_AGENT = "agent"
_KEYS = f"{_AGENT}/nvs_keys.py"
_FEWEST_BLOCKS = 8


@dataclass(frozen=True)
class Geometry:
    """How a board's littlefs is set up, in bytes; `version` is of the format on the flash, 0 the newest.

    An image has to be one that the board could have made itself: its littlefs refuses a newer version, and names that
    may be longer than its own.
    """

    block_size: int
    io_size: int
    cache_size: int
    lookahead_size: int
    name_max: int = 255
    version: int = 0


# What MicroPython's VfsLfs2 uses by default.
MICROPYTHON = Geometry(BLOCK_SIZE, io_size=32, cache_size=128, lookahead_size=32)


def build_app_image(firmware_dir: Path, size: int) -> bytes:
    """Return a littlefs image for a file system of `size` bytes with the program in `firmware_dir`.

    It holds boot.py, main.py, agent/*.py and agent/nvs_keys.py, the list of NVS keys that this package writes. The
    same files give the same bytes. The image ends behind the blocks in use, since the rest need not be written: it is
    a small part of `size`.

    Raises ImageError when a file is missing or they do not fit.
    """
    return make_image(program_files(firmware_dir), size)


def program_files(firmware_dir: Path) -> dict[str, bytes]:
    """Return path → content of the program in `firmware_dir`; raise ImageError when a part of it is missing."""
    paths = [firmware_dir / "boot.py", firmware_dir / "main.py", *sorted((firmware_dir / _AGENT).glob("*.py"))]
    try:
        files = {path.relative_to(firmware_dir).as_posix(): path.read_bytes() for path in paths}
    except OSError as error:
        raise ImageError(f"cannot read the firmware's {error.filename}: {error.strerror}") from error
    if len(paths) == 2:
        raise ImageError(f"there is no agent in {firmware_dir}: the firmware is incomplete")
    files[_KEYS] = resources.files("fleetmint.nvs").joinpath("keys.py").read_bytes()
    return files


def make_image(files: Mapping[str, bytes], size: int, geometry: Geometry = MICROPYTHON) -> bytes:
    """Return a littlefs image that holds `files` (path → content), for a file system of `size` bytes."""
    block = geometry.block_size
    if size % block or size < _FEWEST_BLOCKS * block:
        raise ImageError(f"a file system has at least {_FEWEST_BLOCKS} blocks of {block} bytes; {size:#x} are not")
    from littlefs import LittleFSError  # whoever makes a batch needs the layouts, and no file system

    blocks = size // block
    used = _FEWEST_BLOCKS
    while True:
        try:
            return _image(files, min(used, blocks), blocks, geometry)
        except LittleFSError as error:
            if error.code != LittleFSError.Error.LFS_ERR_NOSPC:
                raise ImageError(f"littlefs cannot store the files: {error}") from error
            if used >= blocks:
                raise ImageError(
                    f"the files ({sum(map(len, files.values()))} bytes) do not fit into {size:#x} bytes"
                ) from error
        used *= 2


def _image(files: Mapping[str, bytes], used: int, blocks: int, geometry: Geometry) -> bytes:
    """Write `files` into the first `used` blocks, then declare the file system to have `blocks`."""
    from littlefs import LittleFS

    fs = LittleFS(
        mount=False,
        block_size=geometry.block_size,
        block_count=used,
        read_size=geometry.io_size,
        prog_size=geometry.io_size,
        cache_size=geometry.cache_size,
        lookahead_size=geometry.lookahead_size,
        name_max=geometry.name_max,
        disk_version=geometry.version,
    )
    fs.format()
    fs.mount()
    for directory in sorted({path.rpartition("/")[0] for path in files} - {""}):
        fs.makedirs(directory, exist_ok=True)
    for path in sorted(files):
        with fs.open(path, "wb") as file:
            file.write(files[path])
    if blocks > used:
        fs.fs_grow(blocks)
    image = bytes(fs.context.buffer)
    fs.unmount()
    return image
