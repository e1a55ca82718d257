"""Passphrases in Ansible Vault are of use with the password that opens them, and only then."""

from fleetmint.preflight import vault


def found(source, *, has_password=True, opens=lambda path: True):
    return [str(problem) for problem in vault.problems(source, has_password, opens)]


def test_passphrases_elsewhere_need_no_vault_password():
    assert found("file:/state/passphrases", has_password=False) == []
    assert found(None, has_password=False) == []


def test_a_vault_without_a_password_is_named_with_what_sets_one():
    (said,) = found("vault:/state/passphrases", has_password=False)
    assert "there is no vault password: export ANSIBLE_VAULT_PASSWORD_FILE=FILE" in said


def test_every_file_that_the_password_does_not_open_is_named(tmp_path):
    for name in ("issuing", "root"):
        (tmp_path / name).touch()
    (tmp_path / "directory").mkdir()
    assert found(f"vault:{tmp_path}") == []
    said = found(f"vault:{tmp_path}", opens=lambda path: path.name == "issuing")
    assert [line.split(": ")[1] for line in said] == [f"the vault password does not open {tmp_path}/root"]
