"""Programs built from the C core of the firmware, under the sanitizers. How it is compiled stands here, once."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CORE = Path(__file__).parents[2] / "firmware" / "c"

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
# A fault ends the program, whichever sanitizer has found it.
SANITIZED = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# The core is C99; what is for Arduino's C++ is held to the oldest standard that its cores compile by.
_PLUS_PLUS = ("g++", "-std=c++11", "-x", "c++")
COMPILERS = {".c": ("gcc", "-std=c99"), ".cpp": _PLUS_PLUS, ".ino": _PLUS_PLUS}


@dataclass(frozen=True)
class Build:
    """Compiles what it is asked for into `directory`, and nothing twice; several processes may share one."""

    directory: Path
    flags: Sequence[str] = (*STRICT, *SANITIZED)
    core: Path = CORE

    def program(self, *sources: str | Path, flags: Sequence[str] = (), libraries: Sequence[str] = ()) -> Path:
        """Return a program made of these sources, absolute or below the core: `program("test/json.c", "src/json.c")`.

        `flags` are compiled with on top of those that everything has, `libraries` are linked: ("-lbearssl",). The core
        knows nothing of what it is used with, so that its own sources are the same for all programs.
        Fails the test with what the compiler says.
        """
        own = self.core / "src"
        objects = [self.compiled(each, () if (self.core / each).parent == own else flags) for each in sources]
        linker = "g++" if any(Path(source).suffix in (".cpp", ".ino") for source in sources) else "gcc"
        command = [linker, *self.flags, *flags, *(str(path) for path in objects), *libraries]
        return self._made("program", command)

    def compiled(self, source: str | Path, flags: Sequence[str] = ()) -> Path:
        """Return the object of one source; headers are those of the core and what lies beside the source."""
        path = self.core / source
        compiler = [*COMPILERS[path.suffix], *self.flags, f"-I{self.core / 'include'}", *flags]
        beside = [header.read_text() for header in sorted(path.parent.glob("*.h"))]
        return self._made("o", [*compiler, "-c", str(path)], path.read_text(), self._headers, *beside)

    @property
    def sources(self) -> list[Path]:
        """All of the core, without any port."""
        return sorted(self.core.glob("src/*.c"))

    @cached_property
    def _headers(self) -> str:
        return "".join(path.read_text() for path in sorted(self.core.rglob("*.h")))

    def _made(self, suffix: str, command: Sequence[str], *contents: str) -> Path:
        digest = hashlib.sha256("\0".join([*command, *contents]).encode()).hexdigest()[:32]
        made = self.directory / f"{digest}.{suffix}"
        if not made.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            # Another process may be making the same one: each makes its own, and the last one stays.
            own = made.with_name(f"{made.name}.{os.getpid()}")
            done = subprocess.run([*command, "-o", str(own)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            own.rename(made)
        return made


def run(program: Path, *arguments: str | Path, given: bytes = b"", timeout: float = 60) -> bytes:
    """Return what a program prints when it is given this; fails the test with what it says when it fails."""
    command = [str(part) for part in (program, *arguments)]
    done = subprocess.run(command, input=given, capture_output=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
    return done.stdout
