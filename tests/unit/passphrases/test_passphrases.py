import contextlib
import os
import pty
import subprocess
import sys

import pytest

from fleetmint.ca.create import plan_hierarchy
from fleetmint.ca.hierarchy import Hierarchy
from fleetmint.errors import SecretError
from fleetmint.passphrases import open_source


def test_a_vault_source_keeps_nothing_readable_and_gives_it_back(tmp_path, monkeypatch):
    password = tmp_path / "vault-password"
    password.write_text("correct horse\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(password))
    source = open_source(f"vault:{tmp_path / 'passphrases'}")
    source.make("root")
    stored = (tmp_path / "passphrases/root").read_bytes()
    assert stored.startswith(b"$ANSIBLE_VAULT;")
    assert len(source.read("root")) == 32
    password.write_text("wrong\n")
    with pytest.raises(SecretError, match="ANSIBLE_VAULT_PASSWORD_FILE"):
        source.read("root")


def test_two_passphrases_differ(tmp_path):
    source = open_source(f"file:{tmp_path}")
    source.make("root")
    source.make("issuing")
    assert source.read("root") != source.read("issuing")


def test_a_missing_passphrase_is_an_error(tmp_path):
    with pytest.raises(SecretError, match="there is no passphrase"):
        open_source(f"file:{tmp_path}").read("root")


@pytest.mark.parametrize("text", ["", "secret", "file:", "shares:", "prompt:x", "fd:", "fd:x", "fd:-1"])
def test_what_names_no_source_is_refused(text):
    with pytest.raises(SecretError, match="write file:DIRECTORY"):
        open_source(text)


def test_a_descriptor_gives_each_passphrase_by_its_name():
    source = open_source(descriptor(b"root " + b"R" * 26 + b"\nissuing " + b"I" * 32 + b"\n"))
    assert source.read("issuing") == b"I" * 32
    assert source.read("root") == b"R" * 26
    assert source.read("root") == b"R" * 26


def test_a_descriptor_with_one_word_gives_it_for_whatever_is_asked():
    assert open_source(descriptor(b"P" * 32)).read("issuing") == b"P" * 32


def test_a_descriptor_without_the_passphrase_is_told_without_showing_another():
    source = open_source(descriptor(b"root " + b"R" * 26 + b"\n"))
    with pytest.raises(SecretError, match="gave no line `issuing PASSPHRASE`") as error:
        source.read("issuing")
    assert "RRRR" not in str(error.value)
    assert "RRRR" not in repr(source)


def test_a_byte_order_mark_is_no_part_of_a_passphrase_and_a_second_line_of_its_name_no_choice(tmp_path):
    (tmp_path / "root").write_bytes(b"\xef\xbb\xbf" + b"R" * 32 + b"\r\n")
    assert open_source(f"file:{tmp_path}").read("root") == b"R" * 32
    assert open_source(descriptor(b"\xef\xbb\xbfroot " + b"R" * 32)).read("root") == b"R" * 32
    with pytest.raises(SecretError, match="gave several lines `root PASSPHRASE`"):
        open_source(descriptor(b"root " + b"R" * 32 + b"\nroot " + b"S" * 32)).read("root")


def test_a_descriptor_that_is_not_open_says_that_ansible_hands_none_on():
    with pytest.raises(SecretError, match="Ansible hands on no descriptors"):
        open_source("fd:987").read("root")


def at_a_terminal(answer):
    """Return what a program says that asks for a passphrase twice, and gets this answer."""
    program = (
        "from fleetmint.errors import SecretError\n"
        "from fleetmint.passphrases import open_source\n"
        "source = open_source('prompt:')\n"
        "try:\n"
        "    print(source.read('issuing') == source.read('issuing') == b'T' * 32)\n"
        "except SecretError as error:\n"
        "    print('refused:', error)\n"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", program])  # noqa: S606
    said = b""
    # whatever is typed early would be shown
    while b"issuing keys: " not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, answer)
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while data := os.read(terminal, 1000):
            said += data
    os.waitpid(child, 0)
    os.close(terminal)
    return said


@pytest.mark.parametrize(("answer", "reason"), [(b"\x04", b"was not typed"), (b"T" * 32 + b"\xe4\n", b"encoding")])
def test_what_cannot_be_read_from_the_terminal_is_a_sentence(answer, reason, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    said = at_a_terminal(answer)
    assert b"refused: the passphrase of the issuing keys" in said
    assert reason in said
    assert b"TTTT" not in said


def test_a_typed_passphrase_is_asked_once_and_not_shown():
    said = at_a_terminal(b"T" * 32 + b"\n")
    assert said.count(b"Passphrase of") == 1
    assert b"True" in said
    assert b"TTTT" not in said


def test_without_a_terminal_a_prompt_says_what_to_name_instead():
    program = "from fleetmint.passphrases import open_source\nopen_source('prompt:').read('root')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, start_new_session=True)
    assert b"a module of Ansible never has one" in done.stderr


def test_what_is_given_is_never_made(tmp_path, now):
    site = Hierarchy(tmp_path / "ca", "test", open_source(descriptor(b"P" * 32)))
    with pytest.raises(SecretError, match="not one that somebody thought of"):
        plan_hierarchy(site, [], now).apply()
    assert not (tmp_path / "ca").exists()


def test_a_mistyped_passphrase_seals_no_new_key(hierarchy, now, snapshot):
    before = snapshot(hierarchy.directory)
    root = (hierarchy.source.directory / "root").read_bytes()
    wrong = open_source(descriptor(b"root " + root + b"issuing " + b"W" * 32))
    plan = plan_hierarchy(Hierarchy(hierarchy.directory, "test", wrong), ["gateway", "second"], now)
    with pytest.raises(SecretError, match="does not open"):
        plan.apply()
    assert snapshot(hierarchy.directory) == before


def descriptor(data: bytes) -> str:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(data)
    return f"fd:{reader}"
