import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# What a module returned, as Ansible shows it, and everything that was printed.
Run = Callable[..., tuple[dict[str, Any], str]]
COLLECTION = ROOT / "collections/ansible_collections/fleetmint/core"


def plugin(path: str) -> ModuleType:
    """Load one file below `plugins/` of the collection that needs nothing of Ansible's import of collections."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, COLLECTION / "plugins" / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def module(tmp_path: Path) -> Run:
    """Run a module of the collection the way a play does; return its result and everything Ansible printed."""

    def run(name: str, /, *flags: str, **options: object) -> tuple[dict[str, Any], str]:
        command = [
            str(Path(sys.executable).with_name("ansible")),
            "localhost",
            "--inventory=localhost,",
            "--connection=local",
            f"--extra-vars=ansible_python_interpreter={sys.executable}",
            f"--module-name=fleetmint.core.{name}",
            f"--args={json.dumps(options)}",
            *flags,
        ]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_DEPRECATION_WARNINGS": os.environ.get("ANSIBLE_DEPRECATION_WARNINGS", "0"),
        }
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        printed = done.stdout + done.stderr
        if "localhost | SKIPPED" in printed:  # which is shown without its result
            return {"skipped": True}, printed
        found = re.search(r"localhost \| (\w+)!? => (\{.*\n\})", printed, re.DOTALL)
        assert found, printed
        return json.loads(found[2]), printed

    return run


@pytest.fixture
def cas(tmp_path: Path) -> dict[str, str]:
    """Options that say which CAs; a source that makes its passphrases itself."""
    return {
        "directory": str(tmp_path / "state/ca"),
        "site": "test",
        "passphrases": f"file:{tmp_path / 'state/passphrases'}",
    }


@pytest.fixture
def snapshot(tmp_path: Path) -> Callable[[], dict[Path, bytes]]:
    """Return all files below the state directory with their content."""
    return lambda: {path: path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()}
