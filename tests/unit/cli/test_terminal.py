"""The command as a tool among others: any locale, Ctrl-C, and a pipe whose reader has seen enough."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fleetmint.cli import terminal

# A command that says something in many scripts, and then as much as it can, or that waits.
TOOL = """
import sys, time
import click
from fleetmint.cli import main, root
from fleetmint.errors import FleetmintError
import fleetmint.cli

@root.command()
@click.argument("what")
def tool(what):
    if what == "refuse":
        raise FleetmintError("no \\u2190 \\u0416 \\ud83d \\x1b[2J")
    if what == "wait":
        click.echo("waiting")
        time.sleep(60)
    if what == "path":
        open(sys.argv[2] + "\\u0416")
    click.echo("chain: leaf \\u2190 root \\u0416 \\xe9 \\ud83d")
    while what == "flood":
        click.echo("more " * 100)

fleetmint.cli.COMMANDS["tool"] = "tool"
main()
"""


@pytest.fixture
def tool(tmp_path):
    (tmp_path / "tool.py").write_text(TOOL)

    def start(what, environment=(), **options):
        cleared = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
        path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
        return subprocess.Popen(
            [sys.executable, "-c", "import tool; ", "tool", what],
            env={**cleared, "PYTHONPATH": os.pathsep.join(path), **dict(environment)},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    return start


@pytest.fixture(scope="session")
def german(tmp_path_factory):
    """A locale of ISO-8859-1, as old scripts set it."""
    directory = tmp_path_factory.mktemp("locales")
    subprocess.run(["localedef", "-i", "de_DE", "-f", "ISO-8859-1", directory / "de_DE"], check=True)
    return {"LOCPATH": str(directory), "LC_ALL": "de_DE"}


ASCII = rb"chain: leaf <- root \u0416 \xe9 \ud83d"
LATIN_1 = rb"chain: leaf <- root \u0416 " + b"\xe9" + rb" \ud83d"
UTF_8 = "chain: leaf ← root Ж é ".encode() + rb"\ud83d"
NEVER_UTF_8 = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOCALES = [
    ({"LC_ALL": "de_DE"}, LATIN_1),
    ({"LC_ALL": "C"}, UTF_8),
    ({"LC_ALL": "POSIX"}, UTF_8),
    ({"LC_ALL": "C", **NEVER_UTF_8}, ASCII),
    ({"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"}, ASCII),
    ({"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1:strict"}, LATIN_1),
    ({"LC_ALL": "C.UTF-8"}, UTF_8),
]


@pytest.mark.parametrize(
    ("environment", "said"), LOCALES, ids=[",".join(map("=".join, each.items())) for each, _ in LOCALES]
)
def test_what_a_locale_cannot_say_is_an_escape(tool, german, environment, said):
    environment = german if environment["LC_ALL"] == "de_DE" else environment
    out, err = (process := tool("say", environment)).communicate(timeout=30)
    assert (process.returncode, out, err) == (0, said + b"\n", b"")
    out, err = (process := tool("refuse", environment)).communicate(timeout=30)
    assert (process.returncode, out) == (1, b"")
    assert err.startswith(b"fleetmint: no ")
    assert err.endswith(rb"\ud83d \x1b[2J" + b"\n")


def test_a_file_that_a_locale_cannot_name_is_told_in_a_sentence(tool, german):
    out, err = (process := tool("path", german)).communicate(timeout=30)
    assert (process.returncode, out) == (1, b"")
    assert err.startswith(b"fleetmint: 'path\\u0416' cannot be written in")
    assert b"UTF-8 locale" in err
    assert len(err.splitlines()) == 1


def test_ctrl_c_says_nothing_and_exits_with_130(tool):
    process = tool("wait")
    assert process.stdout.readline() == b"waiting\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == 130


def test_ctrl_c_at_a_prompt_exits_with_130_and_the_end_of_the_input_does_not():
    def prompt(said):
        with terminal.ending_like_a_tool():
            try:
                raise said
            except type(said):
                raise click.Abort from None  # as click does it

    with pytest.raises(SystemExit, match="130"):
        prompt(KeyboardInterrupt())
    with pytest.raises(click.Abort):
        prompt(EOFError())


@pytest.mark.parametrize("what", ["flood", "say"])
def test_a_reader_that_has_seen_enough_is_no_error(tool, what):
    process = tool(what, stdin=subprocess.DEVNULL)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 141
    assert process.stderr.close() is None


def test_the_help_says_nothing_either_when_nobody_reads_it(tool):
    read, write = os.pipe()
    os.close(read)
    process = tool("--help", stdout=write)
    os.close(write)
    assert process.communicate(timeout=30)[1] == b""
    assert process.returncode == 141


def test_a_full_disk_is_told_in_a_sentence(tool):
    with Path("/dev/full").open("wb") as full:
        process = tool("say", stdout=full)
    assert process.communicate(timeout=30)[1] == b"fleetmint: the output cannot be written: No space left on device\n"
    assert process.returncode == 1


def test_a_shell_sees_what_it_sees_of_other_tools(tmp_path):
    fleetmint = Path(sys.executable).with_name("fleetmint")
    script = f"{fleetmint} --help | head -1; echo ${{PIPESTATUS[0]}}; yes | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines()[1] in ("0", "141")
    assert done.stdout.splitlines()[3] == "141"


@pytest.mark.parametrize("place", ["de_DE", "C", "C, and never UTF-8"])
def test_what_commands_that_look_say_fits_every_locale(state, german, place):
    """The whole commands, since what they draw themselves (a chain's arrow) is in no 8-bit character set."""
    locale = german if place == "de_DE" else {"LC_ALL": "C", **(NEVER_UTF_8 if "never" in place else {})}
    cleared = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    environment = {**cleared, **locale, "FLEETMINT_STATE": str(state)}
    arrow = "\u2190".encode() if place == "C" else b"<-"
    certificate = state / "issued/operators/alice@test.crt"
    for arguments, said in (
        (["verify", certificate, "--as", "operator"], b"chain: alice@test " + arrow + b" test operator CA"),
        (["inspect", certificate], b"a certificate of the operator alice@test"),
        (["audit"], b"identities checked: nothing found"),
    ):
        command = [Path(sys.executable).with_name("fleetmint"), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), arguments
        assert said in done.stdout
        reader, writer = os.pipe()
        os.close(reader)
        hung_up = subprocess.run(command, env=environment, stdout=writer, stderr=subprocess.PIPE, check=False)
        os.close(writer)
        assert (hung_up.returncode, hung_up.stderr) == (141, b""), arguments
