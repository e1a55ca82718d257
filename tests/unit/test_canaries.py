"""The look-out for secrets sees what it is there for: files, and processes that nobody holds on to any more."""

import os
import subprocess
import time

from tests.support import canaries

PROCESS, FILE = "canary-in-a-process", "canary-in-a-file"


def test_a_process_whose_parent_has_ended_is_still_looked_at(monkeypatch):
    monkeypatch.setenv("OWN", PROCESS)  # a test's own process is none that it started
    environment = {"PATH": os.environ["PATH"]}
    with canaries.watched([], [PROCESS.encode()]) as seen:
        subprocess.run(["sh", "-c", "sleep 1 &"], env=environment, check=True)
        time.sleep(0.2)
        assert seen == set()
        subprocess.run(["sh", "-c", "setsid sleep 0.5 &"], env={**environment, "A": PROCESS}, check=True)
        time.sleep(0.3)
    assert [place.rpartition("/")[2] for place in seen if place.startswith("/proc/")] == ["environ"]


def test_a_file_that_comes_and_goes_is_seen(tmp_path):
    with canaries.watched([tmp_path], [FILE.encode()]) as seen:
        (tmp_path / "file").write_text(f"the {FILE} is here")
        time.sleep(0.3)
        (tmp_path / "file").unlink()
    assert seen == {str(tmp_path / "file")}
