"""One virtual site for all tests of the whole chain, made from nothing and taken down at the end."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import PURPOSE, Site, wait_for
from virtual import demo
from virtual.pi import container

KEEP = "FLEETMINT_E2E_KEEP"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.podman)
    # behind them nothing of the site is what it was: another Pi, and then other CAs
    last = ["test_recovery.py", "test_rollover.py"]
    items.sort(key=lambda item: last.index(item.path.name) + 1 if item.path.name in last else 0)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # With KEEP set a site that is up is used as it is and stays: for looking at it, and for breaking it by hand.
    keep = bool(os.environ.get(KEEP))
    if not keep:
        demo.take_down(PURPOSE)
        shutil.rmtree(PURPOSE.state, ignore_errors=True)
    made = False
    try:
        if not keep or container.of(PURPOSE.name).status() != "running":
            demo.bring_up(PURPOSE)
        ports = json.loads((PURPOSE.state / "pi/ports.json").read_text())
        found = Site(PURPOSE.state, ports, tmp_path_factory.mktemp("scratch"))
        boards = range(1, demo.BOARDS + 1)
        wait_for(lambda: all("slot" in found.nvs(number) for number in boards), 60)
        made = True
        yield found
    finally:
        # a site that did not come up is left for a look
        if not keep and (made or os.environ.get("CI")):
            demo.take_down(PURPOSE)
