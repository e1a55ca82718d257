"""Names that plays are given are what was written, to each part of Fleetmint, whatever YAML would make of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLAY = """
- hosts: localhost
  gather_facts: false
  vars_files: ["{roles}/factory/vars/main.yml"]
  tasks:
    - ansible.builtin.debug:
        msg: "{{{{ __factory_batch_dir }}}}"
"""


REVOKE = """
- hosts: localhost
  gather_facts: false
  vars: {fleet_site: test, fleet_ca_dir: /ca, fleet_ca_passphrases: "file:/ca"}
  roles: [revocation]
"""


@pytest.fixture
def directory(tmp_path):
    """Return where the role looks for the batch of a file, given with `-e batch=` as the role's default takes it."""
    (tmp_path / "play.yml").write_text(PLAY.format(roles=ROOT / "roles"))
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"localhost": {"ansible_connection": "local"}}}}))

    def run(file, variables=None, inventory="hosts.yml", play="play.yml"):
        command = [Path(sys.executable).with_name("ansible-playbook"), play, "-i", inventory]
        command += ["-e", variables or f"factory_batch={file}", "-e", "fleet_state_dir=/state"]
        environment = {
            **os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_NOCOLOR": "1",
        }  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    return run


def test_the_role_looks_where_the_library_has_made_the_batch(directory, tmp_path):
    for name, file in (("0144", "o.yml"), ("0x1f", "o.yml"), ("yes", "o.yml"), (None, "0144.CSV"), (None, "0x1f")):
        batch = f"batch: {name}\n" if name else ""
        (tmp_path / file).write_text(batch + "prefix: lamp\ndevices: [{count: 1}]\n")
        assert f'"msg": "/state/batches/{name or Path(file).stem}"' in directory(file)


def test_a_file_below_the_inventory_goes_before_one_here_and_one_that_yaml_took_for_a_number_is_none(
    directory, tmp_path
):
    (tmp_path / "100").write_text("prefix: lamp\ndevices: [{count: 1}]\n")
    (tmp_path / "vars.yml").write_text("factory_batch: 0144\n")
    assert "the batch file is a number to YAML, and has to be text: put it in quotes" in directory(None, "@vars.yml")
    (tmp_path / "site").mkdir()
    (tmp_path / "hosts.yml").rename(tmp_path / "site/hosts.yml")
    assert '"msg": "/state/batches/100"' in directory("100", inventory="site")
    assert f"cannot read batch file {tmp_path}/site/101: No such file" in directory("101", inventory="site")
    (tmp_path / "site/100").write_text("batch: below\nprefix: lamp\ndevices: [{count: 1}]\n")
    assert '"msg": "/state/batches/below"' in directory("100", inventory="site")
    assert '"msg": "/state/batches/100"' in directory(tmp_path / "100", inventory="site")


def test_no_device_is_revoked_whose_id_was_a_number_to_yaml(directory, tmp_path):
    (tmp_path / "revoke.yml").write_text(REVOKE)
    (tmp_path / "vars.yml").write_text("device: 0144\n")
    printed = directory(None, "@vars.yml", play="revoke.yml")
    assert "in a file of variables put the id in quotes" in printed
    assert "Revoke the device on its gateway" not in printed
    (tmp_path / "vars.yml").write_text("device: '0144'\n")
    assert "Revoke the device on its gateway" in directory(None, "@vars.yml", play="revoke.yml")


def test_a_batch_without_a_usable_name_is_refused_with_its_line(directory, tmp_path):
    (tmp_path / "o.yml").write_text("prefix: lamp\nbatch:\ndevices: [{count: 1}]\n")
    assert "o.yml, line 2: batch is empty" in directory("o.yml")
