"""The controller in one encrypted file: what is in it, what is not, and that it comes back whole or not at all."""

import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleetmint.cli import root
from fleetmint.errors import StateError
from fleetmint.site import age
from fleetmint.site.backup import write_backup
from fleetmint.site.state import Site

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - of files that the test writes


@pytest.fixture
def home(state, tmp_path_factory, monkeypatch):
    """The inventory of the site with its state in it; its paths are absolute, as the play writes them."""
    home = tmp_path_factory.mktemp("controller") / "home"
    (home / "group_vars/all").mkdir(parents=True)
    (home / "hosts.yml").write_text("gateways:\n")
    (home / "group_vars/all/site.yml").write_text("fleet_site: test\n")
    shutil.copytree(state, home / "state")
    file = home / "state/site.json"
    file.write_text(
        file.read_text().replace(str(state), str(home / "state")).replace('{"site"', f'{{"inventory": "{home}", "site"')
    )
    monkeypatch.setattr(age, "WORK_FACTOR", 10)
    monkeypatch.setenv("FLEETMINT_SITE", str(home))
    monkeypatch.delenv("FLEETMINT_STATE", raising=False)
    return home


@pytest.fixture
def secret(tmp_path_factory):
    directory = tmp_path_factory.mktemp("secret")
    (directory / "backup").write_text(f"{PASSPHRASE}\n")
    (directory / "backup").chmod(0o600)
    return f"file:{directory}"


@pytest.fixture
def run(home):
    def run(*arguments, **options):
        result = CliRunner().invoke(root, ["site", *map(str, arguments)], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def backup(run, home, secret, tmp_path_factory):
    path = tmp_path_factory.mktemp("disk") / "home.age"
    done = run("backup", path, "--passphrases", secret)
    assert done.exit_code == 0, done.output
    return path


def tree(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Every file by its path: mode and content; of a ledger its rows."""
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mode,
            rows(path) if path.suffix == ".sqlite" else path.read_bytes(),
        )
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def rows(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as ledger:
        return "\n".join(ledger.iterdump()).encode()


def opened(path: Path) -> tarfile.TarFile:
    with path.open("rb") as file:
        return tarfile.open(fileobj=io.BytesIO(b"".join(age.decrypt(PASSPHRASE, file, "it"))))


def test_a_site_comes_back_as_it_was_and_commands_work_on_it(run, home, backup, secret, tmp_path_factory):
    before = tree(home)
    there = tmp_path_factory.mktemp("other") / "home"
    done = run("restore", backup, there, "--passphrases", secret)
    assert done.exit_code == 0, done.output
    assert str(there) in done.stdout
    after = tree(there)
    file = after.pop("state/site.json")
    old = before.pop("state/site.json")
    assert after == before
    assert file == (old[0], old[1].replace(str(home).encode(), str(there).encode()))
    assert [path.name for path in there.parent.iterdir()] == ["home"]
    shutil.rmtree(home)  # nothing leads back to it
    checked = CliRunner().invoke(root, ["audit", "--site", str(there), "--json"])
    assert checked.exit_code == 0, checked.output
    signed = CliRunner().invoke(root, ["revoke", "alice@test", "--check", "--site", str(there)])
    assert signed.exit_code == 0, signed.output


def test_standard_tools_open_it(backup, tmp_path):
    (tmp_path / "plain.tar").write_bytes(opened(backup).fileobj.getvalue())
    subprocess.run(["tar", "--extract", "--file", tmp_path / "plain.tar", "--directory", tmp_path], check=True)
    manifest = json.loads((tmp_path / "MANIFEST.json").read_text())
    for name, row in manifest["entries"].items():
        if "sha256" in row:
            said = subprocess.run(["sha256sum", tmp_path / name], capture_output=True, text=True, check=True)
            assert said.stdout.split()[0] == row["sha256"]
    assert "state/ledger.sqlite" in manifest["entries"]


def test_nothing_of_the_site_can_be_read_in_the_file(home, backup):
    data = backup.read_bytes()
    assert backup.stat().st_mode & 0o777 == 0o600
    for word in (b"PRIVATE KEY", b"CERTIFICATE", b"fleet_site", (home / "state/passphrases/root").read_bytes().strip()):
        assert word not in data


def test_the_password_of_the_vault_is_left_out_and_that_is_said(run, home, secret, tmp_path, monkeypatch):
    (home / "vault-password").write_text("never in a backup")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(home / "vault-password"))
    done = run("backup", tmp_path / "b.age", "--passphrases", secret)
    assert done.exit_code == 0
    assert "vault-password is the password of Ansible Vault and is left out" in done.stderr
    assert b"never in a backup" not in opened(tmp_path / "b.age").fileobj.getvalue()


def test_a_ledger_that_is_written_to_meanwhile_is_copied_whole(home, tmp_path, monkeypatch):
    monkeypatch.setattr(age, "WORK_FACTOR", 10)
    ledger, over = home / "state/ledger.sqlite", threading.Event()

    def write():
        with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE pairs (a, b)")
            number = 0
            while not over.is_set():
                number += 1
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO pairs VALUES (?, ?)", (number, "x" * 500))
                connection.execute("INSERT INTO pairs VALUES (?, ?)", (-number, "x" * 500))
                connection.execute("COMMIT")

    bench = threading.Thread(target=write)
    bench.start()
    try:
        for number in range(3):
            write_backup(
                Site(home / "state"), tmp_path / f"{number}.age", PASSPHRASE, datetime.now(UTC), work_factor=10
            )
    finally:
        over.set()
        bench.join()
    for number in range(3):
        (tmp_path / "ledger").write_bytes(opened(tmp_path / f"{number}.age").extractfile("state/ledger.sqlite").read())
        with closing(sqlite3.connect(tmp_path / "ledger")) as copy:
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert copy.execute("SELECT coalesce(sum(a), 0) FROM pairs").fetchone() == (0,)


def test_a_site_that_does_not_hold_still_is_not_copied_by_halves(home, tmp_path):
    def meddle(number, _bytes):
        (home / "state/issued/operators/alice@test.crt").write_text(str(os.urandom(4)))

    with pytest.raises(StateError, match="changed while it was copied"):
        write_backup(
            Site(home / "state"), tmp_path / "b.age", PASSPHRASE, datetime.now(UTC), progress=meddle, work_factor=10
        )
    assert list(tmp_path.glob("*.age")) == []


def test_check_reads_all_of_it_and_writes_nothing(run, backup, secret, tmp_path):
    done = run("restore", backup, tmp_path / "new", "--check", "--passphrases", secret, "--json")
    said = json.loads(done.stdout)
    assert (said["changed"], said["site"]) == (True, "test")
    assert not (tmp_path / "new").exists()
    alone = json.loads(run("restore", backup, "--check", "--passphrases", secret, "--json").stdout)
    assert (alone["changed"], alone["files"]) == (False, said["files"])


@pytest.mark.parametrize("how", ["cut", "changed", "passphrase", "manifest", "outside"])
def test_what_is_not_whole_is_refused_and_leaves_nothing(run, refused, backup, secret, tmp_path, how):
    data, words = backup.read_bytes(), "nothing was"
    if how == "cut":
        backup.write_bytes(data[: len(data) // 2])
    elif how == "changed":
        backup.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    elif how == "passphrase":
        Path(secret.removeprefix("file:"), "backup").write_text("another one of at least twenty letters")
        words = "the passphrase does not open"
    else:
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as new, opened(backup) as old:
            for each in old:
                content = old.extractfile(each).read() if each.isreg() else b""
                if how == "manifest" and each.name == "inventory/hosts.yml":
                    content = b"gateways:\0"
                if each.name == "MANIFEST.json" and how == "outside":
                    manifest = json.loads(content)
                    manifest["entries"]["inventory/../../stolen"] = manifest["entries"]["inventory/hosts.yml"]
                    content = json.dumps(manifest).encode()
                    stolen = tarfile.TarInfo("inventory/../../stolen")
                    stolen.size, stolen.mode = len(b"gateways:\n"), 0o644
                    new.addfile(stolen, io.BytesIO(b"gateways:\n"))
                each.size = len(content)
                new.addfile(each, io.BytesIO(content))
        backup.write_bytes(b"".join(age.encrypt(PASSPHRASE, [plain.getvalue()], work_factor=10)))
        words = "nothing was restored"
    refused(run("restore", backup, tmp_path / "there/new", "--passphrases", secret), words)
    assert not list(tmp_path.rglob("*new*"))
    assert not list(tmp_path.rglob("stolen*"))


def test_nothing_is_overwritten(run, refused, home, backup, secret, tmp_path):
    refused(run("restore", backup, home, "--passphrases", secret), "is there already, and nothing of it is overwritten")
    refused(run("backup", backup, "--passphrases", secret), "may be the last good backup")
    (tmp_path / "empty").mkdir()
    assert run("restore", backup, tmp_path / "empty", "--passphrases", secret).exit_code == 0


def test_a_disk_that_is_full_leaves_nothing(run, refused, backup, secret, tmp_path, full_disk):
    with full_disk(3000):
        done = run("restore", backup, tmp_path / "there/new", "--passphrases", secret)
    refused(done, "nothing was restored")
    assert not list(tmp_path.rglob("*new*"))


def test_what_a_killed_run_left_is_removed(run, backup, secret, tmp_path):
    left = tmp_path / ".new.fleetmint-restore/content/state"
    left.mkdir(parents=True)
    (left / "of-then").write_text("x")
    assert run("restore", backup, tmp_path / "new", "--passphrases", secret).exit_code == 0
    assert not (tmp_path / "new/state/of-then").exists()
    assert not left.exists()


def test_what_lay_elsewhere_comes_back_where_it_was(run, home, state, secret, tmp_path_factory):
    file = home / "state/site.json"
    away = tmp_path_factory.mktemp("away") / "cas"
    shutil.move(home / "state/ca", away)
    file.write_text(file.read_text().replace(str(home / "state/ca"), str(away)))
    path = tmp_path_factory.mktemp("disk") / "home.age"
    assert run("backup", path, "--passphrases", secret).exit_code == 0
    before = tree(away)
    shutil.rmtree(away)
    there = tmp_path_factory.mktemp("other") / "home"
    assert run("restore", path, there, "--passphrases", secret).exit_code == 0
    assert tree(away) == before
    assert not (there / "state/ca").exists()


@pytest.mark.parametrize("passphrase", ["tiny0", "aaaaaaaaaaaaaaaaaaaaaaaaa"])
def test_a_weak_passphrase_is_refused(run, refused, secret, tmp_path, passphrase):
    Path(secret.removeprefix("file:"), "backup").write_text(passphrase)
    done = run("backup", tmp_path / "b.age", "--passphrases", secret)
    refused(done, "passphrase")
    assert passphrase not in done.output
    assert not (tmp_path / "b.age").exists()


def test_a_passphrase_that_would_be_in_the_backup_is_refused(run, refused, home, tmp_path):
    done = run("backup", tmp_path / "b.age", "--passphrases", f"file:{home / 'state/passphrases'}")
    refused(done, "would be in the backup that it opens")


def test_a_new_passphrase_is_shown_once_and_opens_it(run, tmp_path, tmp_path_factory):
    said = json.loads(run("backup", tmp_path / "b.age", "--new-passphrase", "--json").stdout)
    other = tmp_path_factory.mktemp("secret")
    (other / "backup").write_text(said["passphrase"])
    (other / "backup").chmod(0o600)
    assert run("restore", tmp_path / "b.age", "--check", "--passphrases", f"file:{other}").exit_code == 0
