"""A gateway whose ledger is of an earlier version, brought up to date by the play; and one that gets a newer program.

The rows are the site's own, in the tables of then: its devices go on meanwhile, and what follows finds them again.
"""

import base64
import json
import re
import secrets
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fleetmint import __version__
from fleetmint.ledger.schema import VERSION
from fleetmint.x509 import keys
from tests.e2e.site import PURPOSE, changed, registration
from virtual.pi import container
from virtual.purpose import ROOT

THEN = "0003"
DUMP = Path(__file__).parents[1] / f"unit/ledger/dumps/{THEN}.sqlite.sql"
DIRECTORY = "/var/lib/fleetmint"
LEDGER, BACKUP = f"{DIRECTORY}/ledger.sqlite", f"{DIRECTORY}/of-then.tar"
KEPT = f"{LEDGER}.version-{THEN}"
STOP, MIGRATE = "End the work of the service while its ledger is brought up to date", "Bring the ledger up to date"
GATEWAY = "runuser --user=fleetmint -- /opt/fleetmint/bin/fleetmint gateway"
USERS = "fleetmint-crl.timer fleetmint.service"

SERVICE = ("--tags", "service")
OTHER = """
gateways:
  hosts:
    other:
      ansible_host: 127.0.0.1
      ansible_port: 1
      fleet_state_dir: {}
      fleet_gateway_names: [other.example.org]
"""
NEXT = f"{int(VERSION) + 1:04}"
AS = "runuser --user=fleetmint --"
UNDO = """
import sqlite3
ledger = sqlite3.connect("{}")
ledger.executescript("DROP TABLE of_a_test; UPDATE alembic_version SET version_num = \\"{}\\"")
"""
MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "{}"
down_revision = "{}"


def upgrade() -> None:
    op.create_table("of_a_test", sa.Column("id", sa.Integer, primary_key=True))
"""


def on_the_pi(command: str, stdin: str | None = None) -> str:
    """Return what a shell command prints on the Pi, as root; a ledger is too long for a command line."""
    return container.of(PURPOSE.name).execute("sh", "-euc", command, stdin=stdin)


def fetched(path: str, target: Path) -> Path:
    """Copy a ledger that nobody has open from the Pi."""
    target.write_bytes(base64.b64decode(on_the_pi(f"base64 {path}")))
    return target


def rows(path: Path) -> dict[str, list[tuple]]:
    """What a gateway's ledger says of devices."""
    with closing(sqlite3.connect(path)) as ledger:
        tables = ("devices", "public_keys", "tokens", "certificates", "crls", "events")
        return {table: sorted(ledger.execute(f"SELECT * FROM {table}"), key=repr) for table in tables}  # noqa: S608


def as_of_then(now: Path, path: Path) -> Path:
    """Make a ledger with the tables of then, and with the rows and settings of the site's ledger."""
    with closing(sqlite3.connect(path, isolation_level=None)) as then:
        then.executescript(DUMP.read_text())
        then.execute("ATTACH ? AS now", (str(now),))
        for (table,) in then.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall():
            if table == "settings":
                continue
            columns = ", ".join(row[1] for row in then.execute(f"PRAGMA main.table_info({table})"))
            then.execute(f"DELETE FROM main.{table}")  # noqa: S608
            then.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table}")  # noqa: S608
        then.execute("PRAGMA main.journal_mode=WAL")  # as on a gateway, so that opening it changes nothing
        then.execute("UPDATE main.settings SET value = 'demo' WHERE name = 'site'")
        then.execute("UPDATE main.settings SET value = 'gateway' WHERE name = 'owner'")
    return path


@pytest.fixture
def older(site, tmp_path) -> Path:
    """The Pi's ledger as it would be had nobody brought it up to date."""
    on_the_pi(f"systemctl stop {USERS}; {GATEWAY} backup {BACKUP}; cd /run; tar xf {BACKUP} ledger.sqlite")
    made = as_of_then(fetched("/run/ledger.sqlite", tmp_path / "now"), tmp_path / "then")
    on_the_pi(
        f"rm -f /run/ledger.sqlite {LEDGER} {LEDGER}-wal {LEDGER}-shm {KEPT}; umask 077; base64 -d >{LEDGER};"
        f" chown fleetmint: {LEDGER}; systemctl start {USERS}",
        stdin=base64.b64encode(made.read_bytes()).decode(),
    )
    return made


def listed() -> set[str]:
    return {row["device"] for row in json.loads(on_the_pi(f"{GATEWAY} devices --json"))["devices"]}


def register(device: str, token: str):
    on_the_pi(f"{GATEWAY} import", stdin=registration(device, token))


def changed_tasks(done) -> set[str]:
    """The names of the tasks that say they changed something, or would."""
    tasks = re.split(r"^TASK \[(?:[a-z_]+ : )?", done.stdout, flags=re.MULTILINE)[1:]
    return {task.partition("]")[0] for task in tasks if re.search(r"^changed: ", task, re.MULTILINE)}


def test_the_play_brings_an_older_ledger_up_to_date(site, older, tmp_path):
    # a device that asks meanwhile has the service open the ledger, which leaves two files beside it
    look = f"sha256sum {LEDGER}; ls -A --ignore='*-wal' --ignore='*-shm' {DIRECTORY}"
    before = on_the_pi(look)
    foreseen = site.playbook("gateway.yml", "--check", *SERVICE)
    assert changed(foreseen) > 0
    assert changed_tasks(foreseen) >= {STOP, MIGRATE}, foreseen.stdout
    assert on_the_pi(look) == before

    done = site.playbook("gateway.yml", "--skip-tags", "base,time")
    assert changed(done) > 0
    assert changed_tasks(done) >= {STOP, MIGRATE}, done.stdout
    assert on_the_pi(f"stat -c '%U %a' {LEDGER} {KEPT}; systemctl is-active {USERS}").split() == [
        "fleetmint", "600", "fleetmint", "600", "active", "active"
    ]  # fmt: skip
    assert rows(fetched(KEPT, tmp_path / "kept")) == rows(older)

    known = {row[0] for row in rows(older)["devices"]}
    assert {"lamp-000001", "lamp-000002", "lamp-000003"} <= known
    assert listed() == known
    assert on_the_pi(f"{GATEWAY} audit").endswith(f"{len(known)} devices checked: nothing found\n")
    device, token = "after-upgrade", secrets.token_hex(16)
    register(device, token)
    assert site.enrol(device, token, keys.new_key())[0] == 200
    assert listed() == {*known, device}
    assert changed(site.playbook("gateway.yml", *SERVICE)) == 0


@pytest.fixture
def next_version(tmp_path):
    """The source of a Fleetmint that is newer than this one; what is given along takes the place of text in a file."""

    def make(**replaced: tuple[str, str]) -> Path:
        source = tmp_path / "source"
        source.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE", "src"):
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, source / name)
        package = source / "src/fleetmint"
        for file, (old, new) in {"__init__.py": (__version__, "99.1.0"), **replaced}.items():
            text = (package / file).read_text()
            assert old in text
            (package / file).write_text(text.replace(old, new))
        (package / f"ledger/migrations/versions/{NEXT}_of_a_test.py").write_text(MIGRATION.format(NEXT, VERSION))
        return source

    return make


def migrated() -> dict[str, tuple[str, str]]:
    """What makes the migration of a test the newest one."""
    return {"ledger/schema.py": (f'VERSION = "{VERSION}"', f'VERSION = "{NEXT}"')}


def upgraded(site, source, *arguments):
    return site.playbook("upgrade.yml", "--extra-vars", f"signing_service_source={source}", *arguments)


def version_there() -> str:
    return on_the_pi("/opt/fleetmint/bin/fleetmint --version").split()[-1]


def test_a_version_that_does_not_work_is_rolled_back_with_its_ledger_and_devices_are_served(
    site, next_version, tmp_path
):
    source = next_version(
        **migrated(),
        **{
            "gateway/health.py": (
                "    authority = None\n",
                "    authority = None\n    found[CLOCK] = 'broken on purpose'\n",
            ),
        },
    )
    release, known, copies = on_the_pi("readlink /opt/fleetmint"), listed(), on_the_pi(f"ls {DIRECTORY}")
    # another gateway, which cannot be reached and never has to be
    other = tmp_path / "hosts.yml"
    other.write_text(OTHER.format(site.state))
    done = upgraded(site, source, "--inventory", "inventory/virtual", "--inventory", str(other))
    assert done.returncode != 0
    assert "ok: [other]" not in done.stdout
    assert "fatal: [other]" not in done.stdout
    said = " ".join(done.stdout.split())
    assert (
        f"gateway works with the version before again (the release {__version__} is back; the ledger is back as it was)"
        in said
    )
    assert "/healthz says 503" in said
    assert MIGRATE in changed_tasks(done)
    assert on_the_pi("readlink /opt/fleetmint") == release
    assert version_there() == __version__
    assert listed() == known
    # and it is no longer in what is not needed
    on_the_pi(f"rm {LEDGER}.undone-*")
    assert set(on_the_pi(f"ls {DIRECTORY}").split()) <= {
        *copies.split(),
        "backup.tar",
        "ledger.sqlite-wal",
        "ledger.sqlite-shm",
    }
    device, token = "after-undo", secrets.token_hex(16)
    register(device, token)
    assert site.enrol(device, token, keys.new_key())[0] == 200
    assert on_the_pi(f"{GATEWAY} audit").endswith("nothing found\n")
    assert changed(site.playbook("gateway.yml", *SERVICE)) == 0


@pytest.fixture
def _as_before(site):
    """Take away at the end what a migration has added, and go back to this version."""
    yield
    on_the_pi(
        f"systemctl stop {USERS}; {AS} python3 -c '{UNDO.format(LEDGER, VERSION)}'; rm -f {LEDGER}.version-{VERSION};"
        " systemctl start fleetmint-crl.timer"
    )
    assert changed(site.playbook("gateway.yml", *SERVICE)) > 0
    assert version_there() == __version__


@pytest.mark.usefixtures("_as_before")
def test_a_version_that_works_migrates_the_ledger_after_a_backup_and_stays(site, next_version, tmp_path):
    known, backup = listed(), site.state / "backups/gateway.tar"
    backup.unlink(missing_ok=True)
    done = upgraded(site, next_version(**migrated()))
    assert changed(done) > 0
    assert changed_tasks(done) >= {STOP, MIGRATE}, done.stdout
    assert version_there() == "99.1.0"
    assert known == listed()
    assert rows(fetched(f"{LEDGER}.version-{VERSION}", tmp_path / "kept"))["devices"]
    assert backup.exists()
    device, token = "after-next", secrets.token_hex(16)
    register(device, token)
    assert site.enrol(device, token, keys.new_key())[0] == 200
