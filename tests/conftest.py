"""What all tests share: a fixed time, and no test that is skipped unseen."""

import os
from datetime import UTC, datetime

import pytest


@pytest.fixture
def now() -> datetime:
    """The time at which a test takes place; real, since openssl and the servers look at the real clock."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item):
    """In CI a skip is a failure: whatever a test needs, the setup has to bring it."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI promised to run it: {report.longrepr[-1]}"
    return report
