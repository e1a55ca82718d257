"""Help comes at once: nothing is imported that only a command's work needs, and a command that runs has all of it."""

import subprocess
import sys

from click.testing import CliRunner

from fleetmint.cli import root
from tests.contracts import quoted

# What takes longer to import than Python and click together, or a good part of that.
HEAVY = (
    "Crypto", "alembic", "ansible", "asyncio", "cryptography", "esptool", "flask", "jinja2", "littlefs",
    "multiprocessing", "paho", "psycopg", "rich", "segno", "serial", "sqlalchemy", "urllib.request", "yaml",
)  # fmt: skip

ASK = f"""
import sys
from click.testing import CliRunner
from fleetmint.cli import root

for path in {{paths}}:
    result = CliRunner().invoke(root, [*path, "--help"])
    assert result.exit_code == 0 and result.output.startswith("Usage:"), (path, result.output, result.exception)
    found = [name for name in {HEAVY} if name in sys.modules]
    assert not found, (path, found)
"""


def run(program: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_help_imports_nothing_that_only_work_needs():
    paths = [path for path, _ in quoted.commands()]
    assert len(paths) > 40
    assert run(ASK.format(paths=paths)).stderr == ""


def test_after_help_a_command_runs_in_the_same_process():
    program = """
from click.testing import CliRunner
from fleetmint.cli import root
CliRunner().invoke(root, ["inspect", "--help"])
print(CliRunner().invoke(root, ["inspect", "/dev/null"]).output)
"""
    assert "is nothing that this command knows" in run(program).stdout


def test_a_file_that_is_called_like_the_option_is_not_help():
    result = CliRunner().invoke(root, ["inspect", "--", "--help"])
    assert result.exit_code == 1
    assert "--help" in result.stderr


def test_what_is_not_installed_is_named_when_it_is_needed(tmp_path):
    program = f"""
import sys
sys.modules["paho"] = None
sys.argv = ["fleetmint", "listen", "--state", {str(tmp_path)!r}]
from fleetmint.cli import main
main()
"""
    result = run(program)
    assert result.returncode == 1
    assert result.stderr == "fleetmint: this cannot be done on this machine: paho is not installed\n"


def test_a_batch_on_this_machine_imports_no_database_server_and_no_screen(state):
    unwanted = (
        "sqlalchemy.dialects.postgresql",
        "alembic",
        "littlefs",
        "rich",
        "paho",
        "esptool",
        "serial",
        "segno",
        "urllib.request",
    )
    program = f"""
import sys
from fleetmint.cli import root
root(["batch", "new", {str(state / "batch.yml")!r}, "--state", {str(state)!r}], standalone_mode=False)
print([name for name in {unwanted} if name in sys.modules])
"""
    done = run(program)
    assert done.stdout.splitlines()[-1:] == ["[]"], done
