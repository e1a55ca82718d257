"""What all tests share: the time, MicroPython, and no test that is skipped unseen."""

import os
from datetime import UTC, datetime

import pytest

from virtual.esp32.micropython import find


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
def pytest_runtest_makereport(item):
    """In CI a skip is a failure: whatever a test needs, the setup has to bring it."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI promised to run it: {report.longrepr[-1]}"
    return report
