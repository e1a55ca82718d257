"""What several processes and threads count together."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from fleetmint.service import counters as module
from fleetmint.service.counters import PID, WORKING, Counters

COUNTS = """
import sys
from pathlib import Path
from fleetmint.service.counters import WORKING, Counters
counters = Counters(Path(sys.argv[1]), sys.argv[2])
counters.add(WORKING)
for number in range(int(sys.argv[3])):
    counters.add(f"refused|code-{number % 7}")
"""


def count(directory, name, times):
    return subprocess.Popen([sys.executable, "-c", COUNTS, str(directory), name, str(times)])


def test_whoever_is_asked_tells_what_all_processes_have_counted(tmp_path):
    running = [count(tmp_path / "counters", f"worker-{number}", 700) for number in range(3)]
    assert [each.wait(30) for each in running] == [0, 0, 0]
    for name in ("worker-1", "bodies"):
        found = Counters(tmp_path / "counters", name).total()
        assert {key: number for key, number in found.items() if key.startswith("refused")} == {
            f"refused|code-{number}": 300 for number in range(7)
        }


def test_a_worker_that_is_started_again_goes_on_counting_and_has_begun_nothing_yet(tmp_path):
    for _ in range(2):
        assert count(tmp_path / "counters", "worker-1", 7).wait(30) == 0
    found = Counters(tmp_path / "counters", "worker-1").total()
    assert found["refused|code-3"] == 2
    assert found[WORKING] == 0


def test_threads_lose_nothing(tmp_path):
    counters = Counters(tmp_path / "counters")
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(lambda: [counters.add("issued|enrol") for _ in range(5000)])
    assert counters.total()["issued|enrol"] == 40_000


def test_names_beyond_the_limit_are_not_counted_and_long_ones_are_cut(tmp_path):
    counters = Counters(tmp_path / "counters")
    for number in range(2 * module._RECORDS):
        counters.add(f"refused|{number}")
    assert len(counters.total()) == module._RECORDS
    long = Counters()
    long.add("refused|" + "x" * 500)
    assert max(map(len, long.total())) == module._NAME


def test_without_a_directory_they_are_in_memory(tmp_path):
    counters = Counters(tmp_path / "missing" / "counters", "worker-1")
    counters.add("issued|enrol")
    assert counters.total()["issued|enrol"] == 1


def test_each_process_is_told_apart(tmp_path):
    here = Counters(tmp_path, "worker-1")
    assert count(tmp_path, "worker-2", 1).wait(30) == 0
    found = here.by_process()
    assert list(found) == ["worker-1", "worker-2"]
    assert found["worker-1"][PID] != found["worker-2"][PID] > 0
