"""A release: one version everywhere, a changelog that is kept, and the same bytes from the same commit."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from fleetmint import __version__
from scripts.arduino_library import library
from tests.contracts.quoted import ROOT

BIN = Path(sys.executable).parent


def build(place: Path, *before: str, umask: int = -1, **environment: str) -> dict[str, bytes]:
    """Return name → content of a release, built into `place`, with this before the command."""
    done = subprocess.run(
        [*before, sys.executable, ROOT / "scripts/dist.py", place],
        cwd=place.parent, env={**os.environ, **environment}, umask=umask, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in place.iterdir()}


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("release") / "dist"
    build(place)
    return place


def test_the_version_is_the_same_wherever_it_stands():
    galaxy = yaml.safe_load((ROOT / "collections/ansible_collections/fleetmint/core/galaxy.yml").read_text())
    said = subprocess.run([BIN / "fleetmint", "--version"], capture_output=True, text=True, check=True).stdout
    assert [galaxy["version"], said.split()[-1]] == [__version__, __version__]
    # what comes next stands first, and everything that was released has its date
    first, *earlier = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == "Unreleased" or re.fullmatch(rf"{re.escape(__version__)} - \d{{4}}-\d\d-\d\d", first)
    assert [heading for heading in earlier if not re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", heading)] == []


def test_a_release_has_the_same_bytes_wherever_whenever_and_by_whom_it_is_built(release, tmp_path):
    other = tmp_path / "elsewhere"
    other.mkdir()
    again = build(
        other / "dist", "faketime", "-f", "+400d", umask=0o077,
        TMPDIR=str(tmp_path), TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7",
    )  # fmt: skip
    assert again == {path.name: path.read_bytes() for path in release.iterdir()}


def test_the_sums_are_those_of_all_files(release):
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=release, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    named = {f"{path.name}: OK" for path in release.iterdir() if path.name != "SHA256SUMS"}
    assert set(done.stdout.splitlines()) == named
    assert len(named) == 5


def test_the_wheel_is_the_command(release, tmp_path):
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", f"--target={tmp_path}"]
    subprocess.run([*install, *release.glob("*.whl")], check=True, capture_output=True)
    program = "import fleetmint, fleetmint.cli; print(fleetmint.__file__); fleetmint.cli.main()"
    said = subprocess.run(
        [sys.executable, "-c", program, "--version"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.splitlines() == [str(tmp_path / "fleetmint/__init__.py"), f"fleetmint, version {__version__}"]


def test_ansible_takes_the_collection_and_finds_nothing_changed_in_it(release, tmp_path):
    (archive,) = release.glob("fleetmint-core-*")
    environment = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_COLLECTIONS_PATH": str(tmp_path)}
    environment.pop("ANSIBLE_CONFIG", None)
    for words in (["install", archive], ["verify", "fleetmint.core"]):
        done = subprocess.run(
            [BIN / "ansible-galaxy", "collection", words[0], "--offline", "-p", tmp_path, words[1]],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
    assert "Successfully verified that checksums for 'fleetmint.core" in done.stdout


def test_the_firmware_is_what_a_batch_puts_on_a_board(release, tmp_path):
    from fleetmint.flash.app import program_files

    (archive,) = release.glob("fleetmint-firmware-*")
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        packed.extractall(tmp_path)  # noqa: S202 - it was built a moment ago
    (top,) = tmp_path.iterdir()
    assert (top / "LICENSE").is_file()
    files = {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}
    assert files == {*program_files(ROOT / "firmware"), "LICENSE", "README.md"}


def test_the_library_for_arduino_is_the_core_and_the_ports_of_its_boards(release, tmp_path):
    (archive,) = release.glob("fleetmint-arduino-*.zip")
    with zipfile.ZipFile(archive) as packed:
        files = {name.partition("/")[2]: packed.read(name) for name in packed.namelist()}
    assert files == library(ROOT)
    assert f"version={__version__}" in files["library.properties"].decode().splitlines()
    assert {"LICENSE", "src/Fleetmint.h", "src/fleetmint/agent.h", "src/agent.c", "src/bearssl_tls.c"} <= files.keys()
    assert files["src/esp8266_net.cpp"].split(b"\n")[1] == b"#ifdef ARDUINO_ARCH_ESP8266"


def test_the_source_is_a_checkout_without_its_history(release):
    with tarfile.open(release / f"fleetmint-{__version__}.tar.gz") as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"Makefile", "playbooks/site.yml", "roles/mosquitto/tasks/main.yml", "firmware/main.py", "LICENSE"} <= names
    assert [
        name for name in names if name.startswith((".git/", ".venv/")) or name.startswith("inventory/virtual/state/")
    ] == []
