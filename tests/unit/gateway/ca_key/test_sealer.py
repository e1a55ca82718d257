"""What root answers: a question in the right form, with the real systemd-creds; nothing else."""

import base64
import json

import pytest

from fleetmint.gateway.ca_key import sealer


@pytest.fixture(autouse=True)
def host_key(tmp_path, monkeypatch):
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "secret"))
    monkeypatch.setattr(sealer, "_TPM", tmp_path / "tpm")
    return tmp_path / "secret"


def ask(**document):
    return sealer.answer(json.dumps(document).encode())


def encoded(data):
    return base64.b64encode(data).decode()


def test_what_it_seals_it_opens_under_the_same_name_only():
    sealed = ask(name="device-ca-key", seal=encoded(b"secret"))["data"]
    assert b"secret" not in base64.b64decode(sealed)
    assert base64.b64decode(ask(name="device-ca-key", open=sealed)["data"]) == b"secret"
    assert "does not match" in ask(name="other", open=sealed)["error"]


@pytest.mark.parametrize("document", [
    b"", b"[]", b"1", b"{}", b'{"name": "x"}', b'{"name": "x", "seal": 1}', b'{"name": "x", "seal": "!"}',
    b'{"name": "x", "burn": ""}', b'{"name": "../x", "seal": ""}', b'{"name": "x", "seal": "", "open": ""}',
    b'{"name": "--with-key=null", "seal": ""}', b'{"name": ["x"], "seal": ""}', b"\xff",
])  # fmt: skip
def test_another_question_gets_no_answer(document):
    assert sealer.answer(document) == {"error": "this is no question to what seals"}


def test_garbage_does_not_open_and_the_reason_is_systemds():
    assert ask(name="x", open=encoded(b"garbage"))["error"].startswith("systemd-creds says: ")


def test_a_tpm_that_does_not_work_leaves_the_host_key_and_a_line_for_the_journal(tmp_path, capsys):
    (tmp_path / "tpm").touch()
    sealed = ask(name="x", seal=encoded(b"secret"))["data"]
    assert base64.b64decode(ask(name="x", open=sealed)["data"]) == b"secret"
    assert "the host key alone seals" in capsys.readouterr().err


def test_a_machine_without_systemds_program_says_so(monkeypatch):
    monkeypatch.setattr(sealer, "_PROGRAM", "systemd-creds-that-is-not-there")
    assert "there is no systemd-creds-that" in ask(name="x", seal="")["error"]
