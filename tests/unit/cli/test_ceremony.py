"""`fleetmint ceremony`, as people use it on a machine without a network."""

import pytest
from click.testing import CliRunner

from fleetmint.cli import root as fleetmint
from fleetmint.passphrases import shares
from tests.support.ceremony_site import CeremonySite


@pytest.fixture
def site(tmp_path, now):
    return CeremonySite(tmp_path, now)


@pytest.fixture
def run(site):
    def run(command: str, *arguments, typed: str = "", code: int = 0):
        done = CliRunner().invoke(
            fleetmint, ["ceremony", command, f"--directory={site.vault}", *map(str, arguments)], input=typed
        )
        assert done.exit_code == code, done.output
        return done

    return run


def make(run, site):
    return run("root", "--site-name=test", f"--shares-into={site.custody.into}", "--present=Alice", "--present=Bob")


def test_a_root_is_made_once_and_its_fingerprint_printed(run, site):
    first = make(run, site)
    assert "make the root of test and 5 shares of its passphrase, 3 of which open it" in first.output
    again = make(run, site)
    assert "nothing to do" in again.output
    assert first.output.splitlines()[-1] == again.output.splitlines()[-1]


def test_shares_are_checked_from_files_and_as_somebody_types_them(run, site, tmp_path, snapshot):
    make(run, site)
    before = snapshot(tmp_path)
    papers = site.papers()
    assert "The shares 1, 2, 3 open the root" in run("check", *papers[:3]).output
    codes = [shares.code(shares.read_share(paper.read_text())).replace("\n", " ") for paper in papers]
    typed = "\n".join([codes[4], "a slip", codes[4], codes[0].lower(), codes[2]]) + "\n"
    done = run("check", typed=typed)
    assert "The shares 1, 3, 5 open the root" in done.output
    assert "has 48 letters and digits" in done.output
    assert "That was share 5 again" in done.output
    assert not any(code[:19] in done.output for code in codes)
    assert snapshot(tmp_path) == before


def test_requests_are_answered_with_typed_shares(run, site):
    make(run, site)
    site.ask()
    codes = [shares.code(shares.read_share(paper.read_text())).replace("\n", " ") for paper in site.papers()[:3]]
    post = (f"--requests={site.post.requests}", f"--answers={site.post.answers}")
    options = ["--site-name=test", *post, "--present=Alice"]
    refused = run("answer", *options, typed="n\n", code=1)
    assert "Are these the keys that the controller noted?" in refused.output
    assert not site.post.answers.exists()
    done = run("answer", *options, typed="\n".join(["y", *codes]) + "\n")
    assert "sign the server CA (SPKI " in done.output
    assert (site.post.answers / "server.crt").exists()


def test_a_refusal_is_one_sentence(run, site):
    make(run, site)
    done = run("check", site.papers()[0], code=1)
    assert done.stderr.startswith("fleetmint: 3 shares are needed, and there are 1")
    assert "is no site name" in run(
        "root", "--site-name=Other Site", "--shares-into=x", "--present=Alice", code=1
    ).stderr  # fmt: skip
