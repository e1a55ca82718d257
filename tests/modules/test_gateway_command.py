"""The gateway's own command under Ansible: its answer, check mode, its sentence when it fails, and no secret."""

import hashlib
import os
import pwd
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleetmint.cli.gateway.group import gateway as group
from tests.modules.conftest import plugin
from tests.support.gateway_site import make_gateway_site, registration, token_entry

gateway_command = plugin("module_utils/gateway_command.py")

PROGRAM = str(Path(sys.executable).with_name("fleetmint"))
ME = {"program": PROGRAM, "user": pwd.getpwuid(os.geteuid()).pw_name}
TOKEN = "6f" * 16


@pytest.fixture
def site(tmp_path, tmp_path_factory, monkeypatch):
    """A gateway with its files below a directory, of which the command is told by the environment."""
    made = make_gateway_site(tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")
    monkeypatch.setenv("FLEETMINT_CONFIG", str(made.config_path))
    return made


@pytest.fixture
def document():
    """A registration of one device, as the factory writes it."""
    expires = datetime.now(UTC) + timedelta(days=30)
    return registration([token_entry("lamp-000001", TOKEN, expires)]).decode()


def test_what_the_module_knows_about_check_mode_is_what_the_commands_can():
    able = {name for name, command in group.commands.items() if "check" in {each.name for each in command.params}}
    assert able == gateway_command.CHECKING
    assert set(group.commands) > gateway_command.READING
    assert not gateway_command.READING & able
    answering = {
        name for name, command in group.commands.items() if "as_json" in {each.name for each in command.params}
    }
    assert answering >= gateway_command.CHECKING | gateway_command.READING


def test_a_command_says_what_it_would_change_then_changes_it_once(module, site, document):
    options = {**ME, "command": ["import"], "stdin": document}
    predicted, _ = module("gateway_command", "--check", **options)
    assert predicted["changed"]
    assert module("gateway_command", **ME, command=["devices"])[0]["answer"] == {"devices": []}
    made, _ = module("gateway_command", **options)
    assert made["changed"]
    assert not module("gateway_command", **options)[0]["changed"]
    listed, _ = module("gateway_command", "--check", **ME, command=["devices"])
    assert [device["device"] for device in listed["answer"]["devices"]] == ["lamp-000001"]
    assert not listed["changed"]


def test_a_command_that_cannot_check_is_skipped_in_check_mode(module, site, tmp_path):
    target = tmp_path / "backup.tar"
    skipped, _ = module("gateway_command", "--check", **ME, command=["backup", str(target)])
    assert skipped["skipped"]
    assert not target.exists()
    done, _ = module("gateway_command", **ME, command=["backup", str(target)])
    assert done["answer"]["bytes"] == target.stat().st_size
    assert not done["changed"]


def test_nothing_is_done_while_what_it_creates_is_there(module, site, tmp_path):
    (tmp_path / "there").touch()
    command = ["backup", str(tmp_path / "backup.tar")]
    assert not module("gateway_command", **ME, command=command, creates=str(tmp_path / "there"))[0]["changed"]
    assert not (tmp_path / "backup.tar").exists()


def test_the_sentence_of_a_command_that_fails_is_the_message(module, site):
    revoke = {**ME, "command": ["revoke", "--", "lamp-000009"], "consequence": "Nothing was revoked. The gateway says:"}
    for flags in ((), ("--check",)):
        failed, printed = module("gateway_command", *flags, **revoke)
        assert failed["msg"].startswith("Nothing was revoked. The gateway says: ")
        assert "lamp-000009" in failed["msg"]
        assert "fleetmint:" not in failed["msg"]
        assert "Traceback" not in printed
    failed, _ = module("gateway_command", **ME, command=["revoke", "--reason=boredom", "--", "lamp-000009"])
    assert "Invalid value for '--reason': 'boredom'" in failed["msg"]


def test_a_failure_is_foreseen_only_in_check_mode_and_only_where_the_task_says_so(module, site, tmp_path):
    missing = {**ME, "command": ["sign-crl"], "program": str(tmp_path / "none")}
    assert module("gateway_command", "--check", **missing, foreseen=True)[0]["changed"]
    for flags, foreseen in (((), True), (("--check",), False)):
        failed, _ = module("gateway_command", *flags, **missing, foreseen=foreseen)
        assert failed["msg"] == f"there is no {tmp_path}/none here: set the gateway up first"


def test_what_a_command_reads_is_shown_nowhere(module, site, document):
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    assert digest in document
    _, printed = module("gateway_command", "-vvv", "--diff", **ME, command=["import"], stdin=document)
    # Ansible shows the command line of this test itself once
    assert [line for line in printed.splitlines() if digest in line and "--args" not in line] == []


def test_a_command_acts_as_the_account_it_is_for(module, tmp_path):
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "{\\"changed\\": true, \\"user\\": \\"$(id -un)\\", \\"words\\": \\"$*\\"}"\n')
    program.chmod(0o755)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.geteuid() and directory.stat().st_mode & 0o005 != 0o005:
            directory.chmod(0o755)
    done, _ = module("gateway_command", program=str(program), user="nobody", command=["revoke", "--", "x"])
    if os.geteuid():
        assert "only root can act as nobody here" in done["msg"]
    else:
        assert done["answer"] == {"changed": True, "user": "nobody", "words": "gateway revoke --json -- x"}


def test_what_a_command_remarks_is_a_warning(module, tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho 'fleetmint: warning: the clock is new' >&2\necho '{}'\n")
    program.chmod(0o755)
    done, printed = module("gateway_command", **ME | {"program": str(program)}, command=["devices"])
    assert "the clock is new" in printed
    assert done["answer"] == {}
