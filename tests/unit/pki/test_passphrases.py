import pytest

from fleetmint.errors import SecretError
from fleetmint.pki.passphrases import open_source


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


@pytest.mark.parametrize("text", ["", "secret", "file:", "prompt:x"])
def test_what_names_no_source_is_refused(text):
    with pytest.raises(SecretError, match="write file:DIRECTORY"):
        open_source(text)
