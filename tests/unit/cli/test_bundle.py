"""`fleetmint bundle`: thin over the library, one sentence on refusal."""

import json

import pytest
from click.testing import CliRunner

from fleetmint.cli import root
from fleetmint.trust import bundle as bundles


@pytest.fixture
def run(hierarchy):
    def fleetmint(*arguments):
        # a site's state directory has the CAs in ca/ and, here, plain passphrases beside it
        place = hierarchy.directory.parent
        return CliRunner().invoke(
            root,
            ["bundle", *map(str, arguments)],
            env={"FLEETMINT_STATE": str(place), "FLEETMINT_PASSPHRASES": f"file:{place / 'passphrases'}"},
        )

    return fleetmint


def test_sign_signs_when_there_is_a_reason_and_says_it(hierarchy, run):
    path = hierarchy.directory / "bundle.bin"
    assert "says what it should already" in run("sign").output
    assert "0.2" in run("sign", "--force", "--check").output
    assert bundles.load(path).label == "0.1"
    assert json.loads(run("sign", "--force", "--json").output)["changed"]
    assert bundles.load(path).label == "0.2"
    run("sign", "--above", 99)
    assert bundles.load(path).label == "0.100"


def test_show_tells_content_size_and_signature(hierarchy, run):
    path = hierarchy.directory / "bundle.bin"
    text = run("show", path).output
    for words in ("site test, version 1", "trusts test server CA", "trusts test next server CA", "signature is good"):
        assert words in text
    shown = json.loads(run("show", path, "--json").output)
    assert shown["bytes"] == len(path.read_bytes())
    assert shown["signed"]
    spoiled = bytearray(path.read_bytes())
    spoiled[-1] ^= 1
    path.write_bytes(spoiled)
    assert not json.loads(run("show", path, "--json").output)["signed"]


def test_verify_judges_as_a_device_does(hierarchy, run, tmp_path):
    path, held = hierarchy.directory / "bundle.bin", tmp_path / "held.bin"
    held.write_bytes(path.read_bytes())
    run("sign", "--force")
    assert run("verify", path, "--held", held).exit_code == 0
    refused = run("verify", held, "--held", path)
    assert refused.exit_code == 1
    assert "0.1 is not newer than 0.2" in refused.output


def test_replace_release_key_says_what_it_does_and_does_it_once_asked(hierarchy, run):
    path = hierarchy.directory / "bundle.bin"
    assert "replace the release key" in run("replace-release-key", "--check").output
    assert bundles.load(path).label == "0.1"
    assert run("replace-release-key").exit_code == 0
    assert bundles.load(path).label == "1.2"


def test_a_file_that_is_no_bundle_is_one_sentence(run, tmp_path):
    (tmp_path / "x").write_bytes(b"hello")
    failed = run("show", tmp_path / "x")
    assert failed.exit_code == 1
    assert "is no trust bundle" in failed.output
