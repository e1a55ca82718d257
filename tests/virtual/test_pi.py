"""The virtual Pi's own decisions, without a container: ports, names, what a host lacks, and how failures are told."""

import json
import os
import socket

import pytest

from virtual.pi import container, host, image, ports
from virtual.pi.command import PiError, attempt, run


def test_ports_are_chosen_once_and_kept(tmp_path):
    chosen = ports.load_or_choose(tmp_path / "ports.json")
    assert set(chosen) == set(ports.INSIDE)
    assert len(set(chosen.values())) == len(chosen)
    assert ports.load_or_choose(tmp_path / "ports.json") == chosen


def test_a_pi_of_before_keeps_its_ports_and_gets_those_that_it_lacks(tmp_path):
    file = tmp_path / "ports.json"
    chosen = ports.load_or_choose(file)
    file.write_text(json.dumps({name: port for name, port in chosen.items() if name not in ports.LATER}))
    found = ports.load_or_choose(file)
    assert found.keys() == chosen.keys()
    assert {name: found[name] for name in ("ssh", "mqtt")} == {name: chosen[name] for name in ("ssh", "mqtt")}
    assert ports.load(file) == found


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ssh": 1}', '{"ssh": "x"}'])
def test_a_damaged_file_of_ports_is_named(tmp_path, text):
    file = tmp_path / "ports.json"
    file.write_text(text)
    with pytest.raises(PiError, match=r"ports\.json is damaged"):
        ports.load(file)


def test_a_kept_port_that_another_program_took_is_named_with_what_to_do(tmp_path):
    chosen = ports.load_or_choose(tmp_path / "pi-ports.json")
    with socket.socket() as other:
        other.bind((ports.ADDRESS, chosen["mqtt"]))
        other.listen()
        with pytest.raises(PiError, match=rf"port {chosen['mqtt']} \(mqtt\) .* end that program"):
            ports.require_free(chosen, tmp_path / "state/pi/ports.json")
    ports.require_free(chosen, tmp_path / "state/pi/ports.json")


def test_a_container_belongs_to_its_checkout_and_purpose(monkeypatch, tmp_path):
    first = container.of("demo").name
    assert first.endswith("-demo")
    assert container.of("molecule").name.rpartition("-")[0] == first.rpartition("-")[0]
    monkeypatch.setattr(container, "CHECKOUT", tmp_path)
    assert container.of("demo").name != first


@pytest.mark.parametrize("purpose", ["", "Demo", "a/b", "-x", "a" * 21, "demo\n"])
def test_a_purpose_outside_the_grammar_is_refused(purpose):
    with pytest.raises(PiError, match="is no purpose"):
        container.of(purpose)


def test_the_image_is_named_after_what_is_in_it(monkeypatch):
    names = {image.name(suite) for suite in image.SUITES}
    monkeypatch.setattr(image, "PACKAGES", "systemd")
    assert len(names | {image.name()}) == len(image.SUITES) + 1


@pytest.mark.parametrize(("said", "sentence"), [
    ("E: Temporary failure resolving 'mirror.invalid'\n", "check the network"),
    ("W: NO_PUBKEY 6ED0E7B82643E131\nE: apt failed\n", "debian-archive-keyring"),
    ("E: No space left on device\n", "the disk is full"),
    ("I: fine\nE: something else\nI: cleaning\n", "something else"),
])  # fmt: skip
def test_a_failed_build_is_told_in_one_sentence(said, sentence):
    assert sentence in image._explain(said.splitlines(keepends=True))


def test_a_missing_program_is_named_with_its_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PiError, match="podman is not installed: run `sudo apt-get install podman"):
        host.require()
    with pytest.raises(PiError, match="sudo apt-get install openssh-client"):
        run("ssh-keygen", "-q")


def test_what_a_user_without_root_lacks_is_listed(monkeypatch):
    monkeypatch.setattr(host.os, "access", lambda *_: False)
    monkeypatch.setattr(host, "_has_range", lambda *_: False)
    with pytest.raises(PiError) as caught:
        host._require_rootless()
    assert "subordinate ids" in str(caught.value)
    assert "/dev/net/tun" in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="limits are podman's business only as root")
def test_limits_are_named_only_where_this_root_may_not_raise_them(monkeypatch):
    monkeypatch.setattr(host, "_capable", lambda _: True)
    assert not [flag for flag in host.run_flags() if "ulimit" in flag]
    monkeypatch.setattr(host, "_capable", lambda _: False)
    monkeypatch.setattr(host.resource, "getrlimit", lambda _: (1000, 2000))
    assert "--ulimit=nofile=2000:2000" in host.run_flags()


def test_root_in_the_container_may_set_up_its_firewall_as_on_a_pi():
    assert "--cap-add=NET_ADMIN" in host.run_flags()


def test_the_last_line_of_a_failed_command_is_what_the_user_reads():
    with pytest.raises(PiError, match="failed: the reason"):
        run("/bin/sh", "-c", "echo first >&2; echo the reason >&2; exit 3")
    assert json.loads(attempt("/bin/echo", "{}").stdout) == {}
