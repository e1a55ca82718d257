"""One virtual site for all tests of the whole chain, made from nothing and taken down at the end."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.site import PURPOSE, Site
from virtual import demo


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.podman)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    demo.take_down(PURPOSE)
    shutil.rmtree(PURPOSE.state, ignore_errors=True)
    made = False
    try:
        demo.bring_up(PURPOSE)
        ports = json.loads((PURPOSE.state / "pi/ports.json").read_text())
        made = True
        yield Site(PURPOSE.state, ports, tmp_path_factory.mktemp("scratch"))
    finally:
        # a site that did not come up is left for a look
        if made or os.environ.get("CI"):
            demo.take_down(PURPOSE)
