"""The port for Arduino's ESP8266 and its example, where neither the board nor Arduino's core is.

They are built against small headers of ours and lwIP's own; of the port the store is run, of the example its start.
"""

import pytest

from scripts.arduino_library import library
from tests.support.c_build import CORE, STRICT, Build, run

DOUBLE = CORE.parents[1] / "tests" / "c" / "arduino_esp8266"
ARDUINO = CORE.parent / "arduino"
ESP8266 = CORE / "port" / "esp8266"
BOARD = (
    f"-I{DOUBLE}", "-isystem", "/usr/include/lwip",
    "-DLWIP_DNS=1", "-D_DEFAULT_SOURCE",
    "-DARDUINO=10819", "-DARDUINO_ARCH_ESP8266",
)  # fmt: skip
SKETCH = ARDUINO / "examples/Esp8266Sensor/Esp8266Sensor.ino"
MAIN = """
#include <stdio.h>
void setup();
void loop();
int main() {
  setup();
  for (int i = 0; i < 2000; i++) loop();
}
"""


def test_the_store_is_what_the_core_wants_and_is_never_formatted(build):
    files = [DOUBLE / "store.cpp", DOUBLE / "board.cpp", ESP8266 / "files.cpp"]
    assert run(build.program(*files, flags=(f"-I{ESP8266}", *BOARD), libraries=("-llwip",))) == b""


@pytest.fixture(scope="module")
def sketch(build, tmp_path_factory):
    """The example as a program, with the library as Arduino's builder has it: one directory, and all of it compiled."""
    directory = tmp_path_factory.mktemp("sketch")
    for name, data in library(CORE.parents[1]).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    (directory / "sketch.cpp").write_text(f"#include <Arduino.h>\n{SKETCH.read_text()}\n{MAIN}")
    files = [directory / "sketch.cpp", DOUBLE / "board.cpp", *sorted((directory / "src").glob("*.c*"))]
    # as it is for a board, and where there is nothing of the core beside it
    alone = Build(build.directory, flags=(*STRICT, "-O0"), core=directory / "examples")
    return alone.program(*files, flags=(f"-I{directory / 'src'}", *BOARD), libraries=("-lbearssl", "-llwip"))


def test_the_example_starts_and_says_what_a_board_lacks(sketch):
    assert b"stopped: the store has no usable device_id: burn this device again" in run(sketch)


def test_the_example_is_a_page_and_no_more():
    lines = SKETCH.read_text().splitlines()
    assert len(lines) < 90
    # it has nothing in it that is a device's own
    assert not any(word in SKETCH.read_text() for word in ("BEGIN CERTIFICATE", "psk", "passphrase", "delay("))
