"""The two playbooks of a site whose root is on a machine of its own, with files carried between them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ansible_site
from tests.support.ansible_site import NETWORK, ROOT, VARIABLES, write_site


@pytest.fixture
def play(tmp_path):
    """Run a playbook on a site of its own; return its statistics and what it printed."""
    write_site(tmp_path / "site", f"{VARIABLES}{NETWORK}fleet_ca_root: ceremony\n")

    def run(playbook: str, *flags: str, code: int = 0, inventory: str = "", **variables):
        command = [
            Path(sys.executable).with_name("ansible-playbook"),
            f"--inventory={inventory or tmp_path / 'site'}",
            f"--extra-vars={json.dumps(variables)}",
            *flags,
            ROOT / "playbooks" / playbook,
        ]
        environment = ansible_site.environment(tmp_path / "ansible")
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        printed = done.stdout + done.stderr
        assert done.returncode == code, printed
        return "changed=0" not in printed, printed

    return run


@pytest.fixture
def ceremony(tmp_path):
    """What is said to Ansible on the machine of the root, which knows no site."""
    return {
        "inventory": "localhost,",
        "fleet_site": "test",
        "ca_ceremony_dir": str(tmp_path / "root-machine"),
        "ca_ceremony_shares_dir": str(tmp_path / "memory"),
        "ca_ceremony_people": ["Alice Example", "Bob Example"],
    }


def test_a_site_is_made_with_a_root_that_its_controller_never_sees(play, ceremony, tmp_path):
    state, machine, stick = tmp_path / "site/state", tmp_path / "root-machine", tmp_path / "stick"
    changed, printed = play("ca.yml")
    assert changed
    assert "Waiting for the root: server, server-next, operator, factory, device-gateway" in " ".join(printed.split())
    assert not play("ca.yml")[0]
    _, printed = play("site.yml", code=2)
    assert "Waiting for the root: server, server-next, operator, factory. Carry" in " ".join(printed.split())
    assert "Nothing was done after the CAs." in " ".join(printed.split())
    assert "PLAY [Set up the gateways]" not in printed

    shutil.copytree(state / "requests", stick / "requests")
    bring = {**ceremony, "ca_ceremony_requests_dir": str(stick / "requests")}
    assert play("ca_ceremony.yml", "--check", "--diff", **bring)[0]
    assert not machine.exists()
    changed, printed = play("ca_ceremony.yml", "-vvv", "--diff", **bring)
    assert changed
    papers = sorted((tmp_path / "memory").glob("*/share-*.txt"))
    assert len(papers) == 5
    codes = [line.split()[-1] for paper in papers for line in paper.read_text().splitlines() if line.count("-") == 3]
    assert len(codes) == 15
    assert not any(code in printed for code in codes)
    assert "sign the server CA (SPKI " in printed

    # a later day: three of the papers come back
    brought = tmp_path / "brought"
    brought.mkdir()
    for paper in papers[2:]:
        shutil.copy(paper, brought)
    shutil.rmtree(tmp_path / "memory")
    assert not play("ca_ceremony.yml", **bring, ca_ceremony_open_with=str(brought))[0]

    shutil.copytree(stick / "answers", state / "answers")
    _, printed = play("ca.yml", code=2)
    assert "set ca_root_fingerprint" in " ".join(printed.split())
    fingerprint = subprocess.run(
        ["openssl", "x509", "-in", machine / "root/ca.crt", "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True,
    ).stdout.strip().split("=")[1]  # fmt: skip
    root = {"ca_root_fingerprint": fingerprint}
    assert play("ca.yml", "--check", "--diff", **root)[0]
    assert not (state / "ca/root").exists()
    assert play("ca.yml", **root)[0]
    assert not play("ca.yml", **root)[0]
    assert (state / "issued/operators/bench@test.crt").exists()
    assert not (state / "ca/root/ca.key").exists()
    assert not (state / "passphrases/root").exists()

    # a gateway more asks alone, and is left out until it is answered
    (tmp_path / "site/hosts-more.yml").write_text(
        "gateways: {hosts: {second: {ansible_port: 2, fleet_gateway_names: [second.example]}}}\n"
    )
    changed, printed = play("ca.yml", **root)
    assert "Waiting for the root: device-second." in " ".join(printed.split())
    assert [path.name for path in (state / "requests").iterdir()] == ["device-second.csr"]
    _, printed = play("gateway.yml", "--limit=second", **root)
    assert "second waits for the root to sign its device CA" in " ".join(printed.split())
    shutil.rmtree(stick)
    shutil.copytree(state / "requests", stick / "requests")
    play("ca_ceremony.yml", **bring, ca_ceremony_open_with=str(brought))
    shutil.copytree(stick / "answers", state / "answers", dirs_exist_ok=True)
    assert play("ca.yml", **root)[0]
    assert not play("ca.yml", **root)[0]
    assert (state / "ca/device-second/ca.crt").exists()
    # nothing waits for the root any more: the gateways are asked, and both do not answer
    _, printed = play("site.yml", code=2, **root)
    assert "Waiting for the root" not in printed
    assert "waits for the root" not in printed
    assert sorted(re.findall(r"fatal: \[(\w+)\]: FAILED!", printed)) == ["gateway", "second"]
    assert printed.count("SSH does not reach 127.0.0.1") >= 2


def test_a_root_on_a_medium_is_away_on_ordinary_days(play, tmp_path):
    medium = {"fleet_ca_root": "controller", "fleet_ca_root_dir": str(tmp_path / "medium")}
    _, printed = play("ca.yml", code=2, **medium)
    assert "plug in the medium that is to hold the root of test" in " ".join(printed.split())
    (tmp_path / "medium").mkdir()
    assert play("ca.yml", **medium)[0]
    (tmp_path / "medium").rename(tmp_path / "safe")
    assert not play("ca.yml", **medium)[0]
    _, printed = play("ca.yml", "--check", code=2, **medium, ca_gateways=["gateway", "second"])
    assert "the root's key is needed to make the device CA of second" in " ".join(printed.split())
