"""Build a release from what is committed: `make dist`. The same commit gives the same bytes, wherever and whenever.

python scripts/dist.py [DIRECTORY]     into dist/ if nothing else is said
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from gzip import GzipFile
from pathlib import Path

import arduino_library

from fleetmint.flash.app import program_files

ROOT = Path(__file__).resolve().parent.parent
COLLECTION = "collections/ansible_collections/fleetmint/core"
SUMS = "SHA256SUMS"


def build(target: Path) -> list[Path]:
    """Build everything into `target`, whose SHA256SUMS names them; return their paths."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fleetmint-dist-") as place:
        tree, out = Path(place, "tree"), Path(place, "out")
        tree.mkdir()
        out.mkdir()
        _export(tree)
        made = int(_git("log", "-1", "--format=%ct").decode())
        _packages(tree, out, made)
        _collection(tree, out, made)
        _firmware(tree, out, made)
        _arduino(tree, out, made)
        files = sorted(out.iterdir())
        sums = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
        for file in files:
            (target / file.name).write_bytes(file.read_bytes())
    (target / SUMS).write_text(sums)
    return [target / file.name for file in files]


def _export(tree: Path) -> None:
    """Write the files of the last commit: nothing that lies about gets into a release."""
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "HEAD"))) as archive:
        # as the manual of tarfile has it for Python before 3.11.4, which knows no filters
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(tree)  # noqa: S202 - git has packed it, from this repository


def _packages(tree: Path, out: Path, made: int) -> None:
    """Build the wheel of the library and its commands, and the source: the whole project, playbooks and roles too."""
    _run(sys.executable, "-m", "hatchling", "build", f"--directory={out}", cwd=tree, SOURCE_DATE_EPOCH=str(made))


def _collection(tree: Path, out: Path, made: int) -> None:
    """Build the collection; ansible-galaxy lists its files as the disk does, and with the time of the build."""
    program = Path(sys.executable).with_name("ansible-galaxy")
    _run(str(program), "collection", "build", f"--output-path={out}", str(tree / COLLECTION), cwd=tree)
    (path,) = out.glob("fleetmint-core-*.tar.gz")
    with tarfile.open(path) as archive:
        members = {each.name: each for each in archive.getmembers()}
        files = {name: file.read() for name, each in members.items() if (file := archive.extractfile(each)) is not None}
    listed = json.loads(files["FILES.json"])
    listed["files"].sort(key=lambda entry: entry["name"])
    files["FILES.json"] = json.dumps(listed, indent=1).encode()
    manifest = json.loads(files["MANIFEST.json"])
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(files["FILES.json"]).hexdigest()
    files["MANIFEST.json"] = json.dumps(manifest, indent=1).encode()
    order = ["MANIFEST.json", "FILES.json", *(entry["name"] for entry in listed["files"] if entry["name"] != ".")]
    path.write_bytes(_packed({name: files.get(name) for name in order}, made))


def _firmware(tree: Path, out: Path, made: int) -> None:
    """Pack what a board's file system holds, with the names of the NVS keys, for who copies it there by hand."""
    (wheel,) = out.glob("fleetmint-*.whl")
    name = f"fleetmint-firmware-{wheel.name.split('-')[1]}"
    files = program_files(tree / "firmware")
    # not those of the package that runs here, which may be ahead of what is committed
    files["agent/nvs_keys.py"] = (tree / "src/fleetmint/nvs/keys.py").read_bytes()
    files |= {path: (tree / "firmware" / path).read_bytes() for path in ("LICENSE", "README.md")}
    packed = {f"{name}/{path}": files[path] for path in sorted(files)}
    (out / f"{name}.tar.gz").write_bytes(_packed(packed, made))


def _arduino(tree: Path, out: Path, made: int) -> None:
    """Pack the core in C as a library for the Arduino IDE."""
    (wheel,) = out.glob("fleetmint-*.whl")
    name = f"fleetmint-arduino-{wheel.name.split('-')[1]}"
    (out / f"{name}.zip").write_bytes(arduino_library.packed(name, arduino_library.library(tree), made))


def _packed(files: Mapping[str, bytes | None], made: int) -> bytes:
    """Return a .tar.gz of path → content, None for a directory, that knows of no machine and of one time only."""
    packed = io.BytesIO()
    with (
        GzipFile(fileobj=packed, mode="wb", mtime=made) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.mtime = made
            if content is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            else:
                entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content or b""))
    return packed.getvalue()


def _git(*arguments: str) -> bytes:
    return _run("git", *arguments, cwd=ROOT)


def _run(*command: str, cwd: Path, **environment: str) -> bytes:
    done = subprocess.run(  # noqa: S603 - fixed programs
        # Ansible refuses to work in another encoding
        command,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{command[0]} failed: {(done.stderr or done.stdout).decode(errors='replace').strip()}")
    return done.stdout


def main() -> None:
    """Build, and say what was built."""
    parser = argparse.ArgumentParser(description="Build a release from what is committed.")
    parser.add_argument("target", nargs="?", type=Path, default=ROOT / "dist", metavar="DIRECTORY")
    target = parser.parse_args().target
    if _git("status", "--porcelain", "--untracked-files=no"):
        sys.stderr.write("note: there are changes that are not committed; they are not in it\n")
    for path in (*build(target), target / SUMS):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
