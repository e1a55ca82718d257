"""What a board says: to a person, and in the reason why it was not heard of."""

import pytest
from click.testing import CliRunner

from fleetmint.cli import root
from fleetmint.flash.burn import identify
from fleetmint.flash.console import Eavesdropper

SAYS = ["sh", "-c", "while :; do printf 'Wi-Fi: wrong \\033[31mpassphrase\\n'; sleep 0.1; done"]


@pytest.fixture
def talker(start_board):
    return start_board(program=SAYS, options=["--micropython"])


def run(*arguments):
    return CliRunner().invoke(root, ["console", *arguments])


def test_what_a_board_says_is_printed_without_its_control_characters(talker):
    result = run("--port", str(talker.port), "--seconds", "2")
    assert result.exit_code == 0, result.output
    assert r"Wi-Fi: wrong \x1b[31mpassphrase" in result.stdout.splitlines()


def test_a_board_is_quoted_from_its_reset_on_and_can_be_burned_again(talker):
    board = identify(str(talker.port))
    with Eavesdropper(str(talker.port)) as said:
        talker.await_console("passphrase")
        for _ in range(100):
            if "nothing" not in said.quote():
                break
            said._end.wait(0.1)
    assert r"its console said last: Wi-Fi: wrong \x1b[31mpassphrase" in said.quote()
    assert identify(str(talker.port)).mac == board.mac


def test_a_silent_board_and_a_port_that_is_none_are_told(start_board, tmp_path):
    board = start_board(program=["sleep", "60"], options=["--micropython"])
    silent = run("--port", str(board.port), "--seconds", "0.5")
    assert silent.exit_code == 1
    assert "said nothing within 0.5 s" in silent.stderr
    missing = run("--port", str(tmp_path / "none"))
    assert missing.exit_code == 1
    assert "there is no port" in missing.stderr
