"""One virtual site for all tests of the whole chain, made from nothing and taken down at the end."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.site import PURPOSE, Site
from virtual import demo

KEEP = "FLEETMINT_E2E_KEEP"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.podman)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    # With KEEP set a site that is up is used as it is and stays: for looking at it, and for breaking it by hand.
    keep = bool(os.environ.get(KEEP))
    if not keep:
        demo.take_down(PURPOSE)
        shutil.rmtree(PURPOSE.state, ignore_errors=True)
    made = False
    try:
        if not (keep and (PURPOSE.state / "batches").exists()):
            demo.bring_up(PURPOSE)
        ports = json.loads((PURPOSE.state / "pi/ports.json").read_text())
        made = True
        yield Site(PURPOSE.state, ports, tmp_path_factory.mktemp("scratch"))
    finally:
        # a site that did not come up is left for a look
        if not keep and (made or os.environ.get("CI")):
            demo.take_down(PURPOSE)
