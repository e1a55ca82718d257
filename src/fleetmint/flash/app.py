"""The device's program as a littlefs image: what MicroPython mounts at / and runs."""

from importlib import resources
from pathlib import Path

from littlefs import LittleFS, LittleFSError

from fleetmint.errors import ImageError

BLOCK_SIZE = 4096
_AGENT = "agent"
_KEYS = f"{_AGENT}/nvs_keys.py"
# What MicroPython's VfsLfs2 uses by default: the image is one that the board could have made itself.
_IO_SIZE = 32
_CACHE_SIZE = 128
_LOOKAHEAD_SIZE = 32
_FEWEST_BLOCKS = 8


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


def make_image(files: dict[str, bytes], size: int) -> bytes:
    """Return a littlefs image (disk version 2.1) that holds `files`, for a file system of `size` bytes."""
    if size % BLOCK_SIZE or size < _FEWEST_BLOCKS * BLOCK_SIZE:
        raise ImageError(f"a file system has at least {_FEWEST_BLOCKS} blocks of {BLOCK_SIZE} bytes; {size:#x} are not")
    blocks = size // BLOCK_SIZE
    used = _FEWEST_BLOCKS
    while True:
        try:
            return _image(files, min(used, blocks), blocks)
        except LittleFSError as error:
            if error.code != LittleFSError.Error.LFS_ERR_NOSPC:
                raise ImageError(f"littlefs cannot store the program: {error}") from error
            if used >= blocks:
                raise ImageError(
                    f"the program ({sum(map(len, files.values()))} bytes) does not fit into {size:#x} bytes"
                ) from error
        used *= 2


def _image(files: dict[str, bytes], used: int, blocks: int) -> bytes:
    """Write `files` into the first `used` blocks, then declare the file system to have `blocks`."""
    fs = LittleFS(
        mount=False,
        block_size=BLOCK_SIZE,
        block_count=used,
        read_size=_IO_SIZE,
        prog_size=_IO_SIZE,
        cache_size=_CACHE_SIZE,
        lookahead_size=_LOOKAHEAD_SIZE,
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
