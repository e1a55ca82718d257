"""What all tests share: a fixed time, and no test that is skipped unseen."""

import os
from datetime import UTC, datetime

import pytest


@pytest.fixture
def now() -> datetime:
    """The time at which a test takes place; real, since openssl and the servers look at the real clock."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    """In CI a skip is a failure: whatever a test needs, the setup has to bring it."""
    if os.environ.get("CI") and call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception):
        pytest.fail(f"{item.nodeid} was skipped, and CI promised to run it: {call.excinfo.value}", pytrace=False)
