"""Asking the service at its own socket, as systemd and the play do."""

import socket
import subprocess
import sys
import threading

import pytest

from fleetmint.errors import StateError
from fleetmint.gateway.service_socket import health


@pytest.fixture
def service(tmp_path):
    """A service that answers this to one request, and keeps what it got."""
    path, got, running = tmp_path / "uwsgi.sock", [], []
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve(*answer: bytes):
        def run():
            connection, _ = listening.accept()
            with connection:
                got.append(connection.recv(65536))
                for each in answer:
                    connection.sendall(each)

        running.append(threading.Thread(target=run))
        running[0].start()
        return path, got

    yield serve
    for each in running:
        each.join()
    listening.close()


def test_the_status_is_told_however_the_answer_comes(service):
    path, got = service(b"HTTP", b"/1.1 5", b"03 SERVICE UNAVAILABLE\r\n\r\nnot ok\n")
    assert health(path, 10) == 503
    assert b"\x09\x00PATH_INFO\x08\x00/healthz" in got[0]
    assert int.from_bytes(got[0][1:3], "little") == len(got[0]) - 4


def test_a_service_that_hangs_up_or_is_not_there_gives_no_answer(service, tmp_path):
    path, _ = service()
    with pytest.raises(StateError, match="hung up"):
        health(path, 10)
    with pytest.raises(StateError, match="No such file"):
        health(tmp_path / "nothing.sock", 10)


def test_one_that_does_not_come_to_an_answer_is_waited_for_only_so_long(tmp_path):
    with socket.socket(socket.AF_UNIX) as loading:
        loading.bind(str(tmp_path / "uwsgi.sock"))
        loading.listen()
        with pytest.raises(StateError, match=r"longer than 0\.2 s.*did not load; `sudo journalctl -u fleetmint"):
            health(tmp_path / "uwsgi.sock", 0.2)


def test_systemd_is_told_by_the_exit_code_and_the_journal_by_a_sentence(service, tmp_path):
    path, _ = service(b"HTTP/1.1 503 SERVICE UNAVAILABLE\r\n\r\n")
    answers, missing = (
        subprocess.run(
            [sys.executable, "-m", "fleetmint.gateway.service_socket", "--socket", each, "--seconds", "10"],
            capture_output=True,
            text=True,
        )
        for each in (path, tmp_path / "nothing.sock")
    )
    assert (answers.returncode, answers.stderr) == (0, "")
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1
    assert "its application did not load" in missing.stderr
