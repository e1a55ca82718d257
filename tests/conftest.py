"""What all tests share: the time, MicroPython, and no test that is skipped unseen."""

import hashlib
import os
import signal
from collections.abc import Generator, Iterator
from datetime import UTC, datetime

import pytest

from fleetmint import commands, notices
from tests.support import scratch
from virtual.esp32.micropython import find


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--order", metavar="SEED", help="run the files in another order, the same for the same seed")


def pytest_configure() -> None:
    scratch.prefer_memory()


def pytest_report_header(config: pytest.Config) -> str | None:
    seed = config.getoption("order")
    return f"files in an order of their own, again with: --order {seed}" if seed else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """No file knows what another one did: with a seed they run in any order, each by itself in its own."""
    seed = config.getoption("order")
    if seed:
        items.sort(key=lambda item: hashlib.sha256(f"{seed} {item.nodeid.partition('::')[0]}".encode()).digest())


@pytest.fixture(autouse=True)
def _no_site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No site is named but by the test, and what it names or another has noted is forgotten."""
    for variable in (commands.SITE_VARIABLE, commands.STATE_VARIABLE, commands.PLAY_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    notices.take()
    yield
    commands.act_on()


# In the background of a shell SIGINT is ignored, and every process that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def now() -> datetime:
    """The time at which a test takes place; real, since openssl and the servers look at the real clock."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="session")
def micropython() -> str:
    """The interpreter; MICROPYTHON names another one than that of the virtual boards."""
    try:
        return os.environ.get("MICROPYTHON") or find()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skip is a failure: whatever a test needs, the setup has to bring it."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI promised to run it: {reason}"
    return report
