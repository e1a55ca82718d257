"""Wi-Fi networks in an inventory: what is written reaches the boards, or is refused with file and line, unseen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SECRETS = ("0612345670", "geheim", "Geheim12", "103402424", "kurz")
HEAD = """
refused_{number}:
  - name: default
    ssid: net
    psk: {psk}
"""
PSKS = {
    "0612345670": "is a number to YAML, and has to be text: put it in quotes",
    "0x12345678": "is a number to YAML",
    "1_000_000_000": "is a number to YAML",
    "20182018.": "is a number to YAML",
    "12:30:45:30": "is a number to YAML",
    "2018-01-01": "is a date to YAML",
    "2018-01-01 12:30:00": "is a date to YAML",
    "yes": "is yes or no to YAML",
    "": 'is empty: write its passphrase, or psk: "" for an open network',
    "~": 'is empty: write its passphrase, or psk: "" for an open network',
    "!!binary Z2VoZWltMTIz": "is binary data to YAML",
    "[geheim12]": "is a list or mapping to YAML",
    '"geheim{#12#}geheim"': "holds {{, {% or {#",
    '"{{ another }}-geheim"': "make the whole value one expression, such as {{ a ~ '-b' }}",
    '"geheim{{Geheim12}}geheim"': "holds {{, {% or {#",
    '"geheim{%Geheim12%}"': "holds {{, {% or {#",
    '"{{Geheim12}}"': "is a template that cannot be worked out",
    '"{{ geheim | }}"': "is a template that cannot be worked out",
    '"{{ another }}"': "is a number to YAML",
    '"{{ third }}"': "holds {{, {% or {#",
    '"{{ 12345678 }}"': "is a number to YAML",
    '"{{ another | string }}"': "is a number to YAML",
    "\"{{ dates.birth | string + '' }}\"": "is a date to YAML",
    '"{{ fourth | trim }}"': "works with fourth, which holds {#",
    "\"{{ lookup('env', 'NO_SUCH_VARIABLE') }}\"": 'is empty: write its passphrase, or psk: "" for an open network',
    "\"{{ nothing | default('') }}\"": "is empty",
    "|\n      geheim12": "holds a line feed",
    '"geheim\\t12"': "holds a tab",
    '"geheim12\\x7f"': "holds the character U+007F",
    "kurz": "8 to 63 characters",
    '"' + "geheim" * 11 + '"': "8 to 63 characters",
    "ä" * 32: "8 to 63 characters",
}
MADE = """
base: [{name: default, ssid: net, psk: "geheim{#12#}geheim"}]
good: [{name: default, ssid: net, psk: geheim12}]
places: {here: {wifi: [{name: guests, ssid: net, psk: "geheim{{12}}"}]}}
more: "{{ base }}"
refused_0: "{{ base }}"
refused_1: "{{ good + more }}"
refused_2: "{{ places.here.wifi }}"
refused_3: ["{{ base[0] }}"]
refused_4: "{{ geheim12 }}"
refused_5: "{{ good + good }}"
taken_0: "{{ good + [{'name': 'open', 'ssid': 'x', 'psk': ''}] }}"
taken_1: ["{{ good[0] }}"]
"""
WHOLE = """
fleet_wifi:
  - {name: default, ssid: "{{ net }}", psk: !unsafe 'geheim{#1#}{{2}}{%3%}'}
  - {name: vault, ssid: "  my net  ", psk: VAULT}
  - {name: open, ssid: "{{ prefix ~ '-guests' }}", psk: ""}
  - {name: "0144", ssid: "0123", psk: "0612345670"}
  - {name: key, ssid: "\\U0001F4A1", psk: "HEX"}
  - {name: variable, ssid: net, psk: "{{ third }}"}
  - {name: nothing, ssid: net, psk: "{{ nothing }}"}
net: workshop
prefix: "{{ net }}"
third: !unsafe 'ge{{heim'
nothing: ""
"""


@pytest.fixture
def ansible(tmp_path):
    """Run a program of Ansible in a directory with `vars.yml`, `play.yml`; return what it printed."""

    def run(program, *arguments, code=0, text=None, key="x"):
        environment = {
            **os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "vault-password"),
        }  # fmt: skip
        (tmp_path / "vault-password").write_text(f"{key}\n")
        done = subprocess.run(
            [BIN / program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, input=text,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    (tmp_path / "hosts.yml").write_text(
        json.dumps(
            {
                "all": {
                    "hosts": {
                        "localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
                    }
                }
            }
        )
    )
    return run


def play(tmp_path, *tasks):
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    return ("ansible-playbook", "-i", "hosts.yml", "play.yml", "-e", "@vars.yml", "-vvv", "--diff")


def tried(ansible, tmp_path, names, **options):
    """Return what was printed when each of the variables was read as networks, and the message to each."""
    read = {"fleetmint.core.networks": {"variable": "{{ item }}"}, "loop": names}
    messages = "{{ tried.results | map(attribute='msg', default='') }}"
    told = {"ansible.builtin.copy": {"content": messages, "dest": f"{tmp_path}/told"}}
    printed = ansible(*play(tmp_path, read | {"ignore_errors": True, "register": "tried"}, told), **options)
    return printed, json.loads((tmp_path / "told").read_text())


def test_what_is_no_text_or_would_be_changed_is_refused_with_file_and_line_and_not_shown(ansible, tmp_path):
    names = [f"refused_{number}" for number in range(len(PSKS))]
    (tmp_path / "vars.yml").write_text(
        "another: 0612345670\nthird: 'geheim{#3#}'\nfourth: '{{ third }}'\ndates: {birth: 2018-01-01}\n"
        + "".join(HEAD.format(number=number, psk=psk) for number, psk in enumerate(PSKS))
    )
    printed, messages = tried(ansible, tmp_path, names)
    lines = (tmp_path / "vars.yml").read_text().splitlines()
    for number, reason in enumerate(PSKS.values()):
        line = lines.index(f"refused_{number}:") + 4
        assert f"{tmp_path}/vars.yml, line {line}: psk of " in messages[number], (number, messages[number])
        assert reason in messages[number], (number, messages[number])
    assert [secret for secret in SECRETS if secret in printed] == []


def test_networks_that_expressions_make_of_others_are_read_where_they_are_written(ansible, tmp_path):
    (tmp_path / "vars.yml").write_text(MADE)
    names = [*(f"refused_{number}" for number in range(6)), "taken_0", "taken_1"]
    printed, messages = tried(ansible, tmp_path, names)
    reasons = ["line 2: psk", "line 2: psk", "line 4: psk", "line 2: psk", "line 10: refused_4 is a template", "twice"]
    for message, reason in zip(messages, reasons, strict=False):
        assert reason in message
    assert messages[6:] == ["", ""]
    assert [secret for secret in SECRETS if secret in printed] == []


def test_what_cannot_be_decrypted_is_told_with_its_line(ansible, tmp_path):
    sealed = ansible("ansible-vault", "encrypt_string", "--stdin-name", "psk", text="geheim12")
    indented = "    ".join(sealed.splitlines(keepends=True))
    (tmp_path / "vars.yml").write_text(f"closed:\n  - name: default\n    ssid: net\n    {indented}")
    _, messages = tried(ansible, tmp_path, ["closed"], key="another")
    assert "line 4: psk of the network 'default' cannot be decrypted: check the vault password" in messages[0]


def test_what_is_text_reaches_the_boards_as_it_is_written(ansible, tmp_path):
    sealed = ansible("ansible-vault", "encrypt_string", "--stdin-name", "x", text="geheim{#12#}").removeprefix("x: ")
    hexadecimal = "0123456789abcdefABCDEF" + "0" * 42
    text = WHOLE.replace("HEX", hexadecimal)
    before, after = text.split("VAULT}")
    vault = before[: before.rindex("  - {name: vault")] + "  - name: vault\n    ssid: '  my net  '\n    psk: " + sealed
    (tmp_path / "vars.yml").write_text(vault + after)
    read = {"fleetmint.core.networks": {}, "register": "known"}
    seen = {"ansible.builtin.copy": {"content": "{{ fleet_wifi }}", "dest": f"{tmp_path}/seen"}, "no_log": True}
    ansible(*play(tmp_path, read, seen, {"ansible.builtin.assert": {"that": "known.networks | length == 7"}}))
    assert {row["name"]: (row["ssid"], row["psk"]) for row in json.loads((tmp_path / "seen").read_text())} == {
        "default": ("workshop", "geheim{#1#}{{2}}{%3%}"),
        "vault": ("  my net  ", "geheim{#12#}"),
        "open": ("workshop-guests", ""),
        "0144": ("0123", "0612345670"),
        "key": ("\U0001f4a1", hexadecimal),
        "variable": ("net", "ge{{heim"),
        "nothing": ("net", ""),
    }
