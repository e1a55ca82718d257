"""What commands print to be typed next can be pasted, and acts on the site of the command that has printed it."""

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleetmint import commands
from fleetmint.cli import root
from tests.support import printed

HOSTS = """\
controller:
  hosts:
    localhost:
gateways:
  hosts:
    gateway:
"""
# Ordinary work and slips that end with something to type next.
RUNS = (
    "ca show",
    "operator add carol@test",
    "operator replace alice@test",
    "operator revoke bob@test",
    "operator add bob@test",
    "operator revoke nobody@test",
    "revoke lamp-000001",
    "revoke lamp-000002",
    "revoke lamp-000009",
    "revoke nobody@test",
    "revoke 4f0c5c517c308e2e59beb76579424526a1b2c3d4",
    "revoke {state}/issued/gateway/nginx.crt",
    "burn nothing --port /dev/null",
    "batch register nothing",
    "batch labels nothing --out labels.pdf",
    "batch labels first --only returned --out labels.pdf",
    "batch shred nothing",
    "batch register first --to first.registration",
    "token write lamp-000001 --from no.token --port /dev/null",
    "revoke lamp-000002 --state {lost}",
    "audit --state {lost}",
)


@pytest.fixture
def site(state, tmp_path, monkeypatch) -> Path:
    """A site in a directory whose name has to be quoted, named by nothing in the environment."""
    site = tmp_path / "it's a site"
    site.mkdir()
    (site / "hosts.yml").write_text(HOSTS)
    (site / "state").symlink_to(state)
    content = json.loads((state / "site.json").read_text()) | {"inventory": str(site)}
    (state / "site.json").write_text(json.dumps(content))
    (tmp_path / "no.token").write_text("{}")
    monkeypatch.setattr("fleetmint.site.expiries.is_due", lambda *_: True)  # everything ends soon
    monkeypatch.chdir(tmp_path)
    return site


@pytest.fixture
def lost(site, tmp_path) -> Path:
    """The same site's state, without a CRL and with a batch that was not registered although it is burned."""
    lost = tmp_path / "lost"
    shutil.copytree(site / "state", lost, ignore=shutil.ignore_patterns("it's*", "lost", "crl.pem"))
    content = json.loads((lost / "site.json").read_text())
    content["ca"]["directory"] = str(lost / "ca")
    (lost / "site.json").write_text(json.dumps(content))
    return lost


@pytest.fixture
def said(site, lost, state):
    """Run everything at the site; return what was printed."""

    def run(*options: str, **environment: str) -> str:
        texts = []
        for line in RUNS:
            words = line.format(state=state, lost=lost).split()
            named = () if "--state" in words else options
            result = CliRunner().invoke(root, [*words, *named], env=environment)
            assert result.exception is None or isinstance(result.exception, SystemExit), line
            texts.append(result.output)
        return "\n".join(texts)

    return run


@pytest.fixture
def acted(monkeypatch) -> list[Path]:
    """On which states the lines that are taken apart would act."""
    seen: list[Path] = []
    act_on = commands.act_on

    def note(*, state=None, **others):
        seen.append(state)
        act_on(state=state, **others)

    monkeypatch.setattr(commands, "act_on", note)
    return seen


def test_what_is_printed_at_a_site_acts_on_it_when_it_is_pasted(said, site, state, lost, acted, tmp_path):
    lines = printed.lines(said("--site", str(site)))
    acted.clear()

    for line in [line for line in lines if printed.program(line) == "fleetmint"]:
        printed.parse(line)
    assert {path.resolve() for path in acted} == {state, lost}

    plays = [line for line in lines if printed.program(line) == "ansible-playbook"]
    assert {line.split("playbooks/")[1].split()[0] for line in plays} >= {"ca.yml", "gateway.yml", "revoke.yml"}
    for line in plays:
        done = printed.play(line, tmp_path, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert "gateway" in done.stdout.split() or "localhost" in done.stdout.split(), line


def test_what_is_printed_is_short_where_the_environment_names_the_site(said, site, monkeypatch):
    text = said(FLEETMINT_SITE=str(site))
    monkeypatch.setenv("FLEETMINT_SITE", str(site))

    lines = [line for line in printed.lines(text) if "lost" not in line]
    assert len(lines) > 10
    for line in lines:
        assert str(site) not in line
        if printed.program(line) == "fleetmint":
            printed.parse(line)


def test_the_line_for_the_gateway_is_whole(said, site):
    text = said("--site", str(site))
    assert (
        "`sudo runuser -u fleetmint -- /opt/fleetmint/bin/fleetmint gateway import - < first.registration` on the"
        " gateway" in text
    )
