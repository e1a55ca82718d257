"""`fleetmint find`, with a network that has answered already."""

import json

import pytest
from click.testing import CliRunner

from fleetmint.cli import root
from fleetmint.cli.controller import find as command
from fleetmint.discovery.mdns import GATEWAY, Answer, DiscoveryError


@pytest.fixture
def find(monkeypatch):
    """Run the command; what it asks of the network is answered by `answers`, and this machine has met nobody."""

    def run(*arguments, answers=()):
        def ask(names, seconds):
            asked.extend([*names, seconds])
            if isinstance(answers, Exception):
                raise answers
            return list(answers)

        asked = []
        monkeypatch.setattr(command, "ask", ask)
        monkeypatch.setattr(command, "neighbours", dict)
        result = CliRunner().invoke(root, ["find", *arguments])
        return result, asked

    return run


def test_what_is_found_is_listed_with_what_to_type_next(find):
    result, asked = find(answers=[Answer("raspberrypi.local", ("192.0.2.8",))])
    assert result.exit_code == 0
    assert asked == ["raspberrypi", 5.0]
    lines = result.stdout.splitlines()
    assert "  ssh-copy-id pi@192.0.2.8" in lines
    assert "  ansible_host: 192.0.2.8" in lines
    assert "compare the host key" in lines[-1]
    assert result.stderr == "Asking this network by mDNS, for 5 seconds ...\n"


def test_a_name_is_asked_for_with_or_without_its_end(find):
    assert find("Shed.local", "attic", "--seconds", "2")[1] == ["raspberrypi", "shed", "attic", 2.0]
    refused = find("shed.example")[0]
    assert refused.exit_code == 2
    assert "is no name by mDNS" in refused.stderr


def test_nobody_found_is_said_with_what_to_try_and_fails(find):
    for arguments in ([], ["--json"]):
        result = find(*arguments)[0]
        assert result.exit_code == 1
        assert "UDP port 5353" in result.stderr
        assert "--seconds 30" in result.stderr
    assert json.loads(result.stdout) == {"machines": []}


def test_a_network_that_cannot_be_asked_is_a_sentence(find):
    result = find(answers=DiscoveryError("this machine cannot ask by mDNS (x): connect it"))[0]
    assert result.exit_code == 1
    assert result.stderr.endswith("fleetmint: this machine cannot ask by mDNS (x): connect it\n")


def test_json_has_all_that_is_known(find):
    answer = Answer("gateway.local", ("192.0.2.7",), GATEWAY, 443, said={"site": "home", "mqtt": "8883"})
    (machine,) = json.loads(find("--json", answers=[answer])[0].stdout)["machines"]
    assert machine == {
        "host": "gateway.local", "addresses": ["192.0.2.7"], "gateway": True, "reach": "192.0.2.7",
        "reasons": ["offers Fleetmint"], "ports": [443], "said": {"site": "home", "mqtt": "8883"},
    }  # fmt: skip


def test_what_strangers_say_moves_no_cursor_and_begins_no_line(find):
    answer = Answer("gate\x1b[2Jway.local", ("192.0.2.7",), GATEWAY, 443, said={"site": "a\nansible_host: 192.0.2.66"})
    out = find(answers=[answer])[0].stdout
    assert "\x1b" not in out
    assert "ansible_host: 192.0.2.66" not in [line.strip() for line in out.splitlines()]
