"""The C core of the firmware as a library for the Arduino IDE: the same files, in the one way in which that builds.

Arduino compiles whatever is in `src`, for every board, and looks for headers there alone. So all sources lie beside
each other, those of a port under its name, and what is for one kind of board is empty for the others.
"""

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import gmtime

# port -> the boards that it is for
PORTS = {"bearssl": "ESP8266", "esp8266": "ESP8266", "mbedtls": "ESP32", "esp32": "ESP32"}


def library(tree: Path) -> Mapping[str, bytes]:
    """Return path → content of the library, of the project in `tree`."""
    core, arduino = tree / "firmware" / "c", tree / "firmware" / "arduino"
    files = {path.relative_to(arduino).as_posix(): path for path in arduino.rglob("*") if path.is_file()}
    files |= {name: core / name for name in ("LICENSE", "README.md")}
    files |= {f"src/{path.relative_to(core / 'include').as_posix()}": path for path in core.glob("include/**/*.h")}
    files |= {f"src/{path.name}": path for path in core.glob("src/*.[ch]")}
    content = {name: path.read_bytes() for name, path in files.items()}
    for name, data in _ports(core):
        if name in content:
            raise ValueError(f"two files would be {name} of the Arduino library: give one of them another name")
        content[name] = data
    return dict(sorted(content.items()))


def _ports(core: Path) -> Iterator[tuple[str, bytes]]:
    for port, board in PORTS.items():
        for path in sorted((core / "port" / port).glob("*.[ch]*")):
            data = path.read_bytes()
            if path.suffix == ".h":
                yield f"src/{path.name}", data
            else:
                # C knows no file without anything in it
                frame = b"#include <stddef.h>\n#ifdef ARDUINO_ARCH_%s\n%s#endif\n"
                yield f"src/{port}_{path.name}", frame % (board.encode(), data)


def packed(name: str, files: Mapping[str, bytes], made: int) -> bytes:
    """Return the .zip that "Add .ZIP library" takes, with `name` as its directory; `made` is in seconds since 1970."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writing:
        for path, data in files.items():
            entry = zipfile.ZipInfo(f"{name}/{path}", gmtime(made)[:6])
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            writing.writestr(entry, data)
    return archive.getvalue()
