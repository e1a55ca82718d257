"""What the agent takes of a board's flash and memory, compiled as MicroPython loads it."""

import shutil
import subprocess
from pathlib import Path

import pytest

# What a product must leave to the agent, in bytes, all modules together.
LIMIT = 48 * 1024


def test_the_agent_as_bytecode_has_its_size(firmware, tmp_path):
    compiler = shutil.which("mpy-cross")
    if compiler is None:
        pytest.skip("there is no mpy-cross here: scripts/setup test installs it")
    sizes = {}
    for module in sorted((firmware / "agent").glob("*.py")):
        compiled = tmp_path / f"{module.stem}.mpy"
        subprocess.run([compiler, "-o", compiled, module], check=True)
        sizes[module.stem] = compiled.stat().st_size
    assert {"agent", "nvs_keys", "p256"} <= set(sizes)
    assert sum(sizes.values()) <= LIMIT, sizes


def test_every_module_is_small_enough_to_be_compiled_on_a_board(firmware: Path):
    for module in sorted((firmware / "agent").glob("*.py")):
        assert len(module.read_text().splitlines()) < 400, module.name
