"""A batch that is killed at any step goes on where it was: no identity twice, none lost that anybody was told of."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fleetmint.batch import secrets
from fleetmint.errors import StateError
from fleetmint.ledger import open_ledger, reading
from fleetmint.ledger.factory import list_units
from fleetmint.passphrases import open_source
from tests.unit.batch import batch_cut

# Several frames of secrets, most of them of tokens, which cost nothing.
BATCH = "batch: first\nprefix: lamp\ndevices:\n  - {count: 3, key_origin: factory}\n  - count: %d\n"


def told(root):
    """What the gateway could have learnt of each device."""
    path = root / "batches/first/registration.json"
    rows = json.loads(path.read_text())["devices"] if path.exists() else []
    return {row["device"]: row for row in rows}


def entered(root):
    if not (root / "ledger.sqlite").exists():
        return []
    engine = open_ledger(f"sqlite:///{root / 'ledger.sqlite'}")
    try:
        with reading(engine) as connection:
            return [unit.device for unit in list_units(connection, "first")]
    except StateError:
        return []  # killed before it had its tables
    finally:
        engine.dispose()


def kept(root):
    return secrets.load(root / "batches/first", open_source(f"file:{root / 'passphrases'}")).devices


@pytest.fixture
def killed(tmp_path, hierarchy, now):
    """Return copies of a site in which the making of a batch was killed, each one step further; the last is whole."""

    def run(template, file):
        cuts = tmp_path / "cuts"
        program = [sys.executable, Path(batch_cut.__file__), template, cuts, hierarchy.directory, file, now.isoformat()]
        subprocess.run([*map(str, program)], check=True, capture_output=True)
        return sorted(cuts.iterdir())

    return run


@pytest.fixture
def template(tmp_path):
    shutil.copytree(tmp_path / "passphrases", tmp_path / "template/passphrases")
    return tmp_path / "template"


def write(path, count):
    path.write_text(BATCH % count)
    return path


def check_resumed(root, hierarchy, file, now, units, before):
    known, seen = told(root), entered(root)
    batch_cut.make_plan(root, hierarchy.directory, file, now).apply()
    has = kept(root)
    assert sorted(has) == units, root
    assert len({secret.token or secret.key for secret in has.values()}) == len(units)
    assert entered(root) == list(has)
    assert set(seen) <= set(has)
    assert {device: row for device, row in told(root).items() if device in known} == known
    assert list(told(root)) == list(has)
    assert {device: has[device] for device in before} == before
    assert not batch_cut.make_plan(root, hierarchy.directory, file, now).changed
    assert unfinished(root) == []


def unfinished(root):
    """Return the files that do not belong to a batch, the ledger or the passphrases."""
    whole = {"batch.key", "settings.bin", "secrets.bin", "registration.json", "batch.json"}
    whole |= {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "root", "issuing", "bench", "spare"}
    return [path for path in root.rglob("*") if path.is_file() and path.name not in whole]


def test_a_batch_that_was_killed_at_any_step_is_finished_by_the_next_run(killed, template, hierarchy, tmp_path, now):
    file = write(tmp_path / "batch.yml", 520)
    units = [f"lamp-{number:06d}" for number in range(1, 524)]
    roots = killed(template, file)
    assert len(roots) > 30
    for root in roots:
        check_resumed(root, hierarchy, file, now, units, {})


def test_a_batch_that_was_killed_while_it_grew_keeps_what_it_had_and_gets_the_rest(
    killed, template, hierarchy, tmp_path, now
):
    batch_cut.make_plan(template, hierarchy.directory, write(tmp_path / "batch.yml", 300), now).apply()
    before = dict(kept(template))
    file = write(tmp_path / "batch.yml", 520)
    units = [f"lamp-{number:06d}" for number in range(1, 524)]
    roots = killed(template, file)
    assert len(roots) > 20
    for root in roots:
        check_resumed(root, hierarchy, file, now, units, before)


def test_what_a_killed_batch_left_is_gone_when_another_one_is_made(killed, template, hierarchy, tmp_path, now):
    roots = killed(template, write(tmp_path / "batch.yml", 20))
    left = [root for root in roots if unfinished(root / "batches")]
    assert left
    another = tmp_path / "another.yml"
    another.write_text("batch: second\nprefix: bulb\ndevices:\n  - count: 1\n")
    for root in left:
        batch_cut.make_plan(root, hierarchy.directory, another, now, name="second").apply()
        assert unfinished(root) == []
