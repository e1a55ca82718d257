"""The keys of device CAs on their way to a gateway: brought once, shown nowhere, every documented option works."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.gateway_site import make_gateway_site

PROGRAM = str(Path(sys.executable).with_name("fleetmint"))


@pytest.fixture
def site(tmp_path, tmp_path_factory, monkeypatch):
    made = make_gateway_site(tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template")
    monkeypatch.setenv("FLEETMINT_CONFIG", str(made.config_path))
    shutil.rmtree(made.config.device_ca)
    return made


def test_a_device_ca_is_brought_once_and_its_key_shown_nowhere(module, site, tmp_path):
    options = {
        "directory": str(site.hierarchy.directory),
        "site": "test",
        "passphrases": f"file:{site.root / 'controller/passphrases'}",
        "root_directory": str(tmp_path / "medium that is away"),
        "gateway": "gateway",
        "program": PROGRAM,
    }
    predicted, _ = module("device_ca", "--check", **options)
    assert predicted["reasons"] == ["the gateway has no device CA yet"]
    assert not (site.config.device_ca / "ca.key").exists()
    made, printed = module("device_ca", "-vvv", "--diff", **options)
    assert made["reasons"] == predicted["reasons"]
    key = (site.config.device_ca / "ca.key").read_text().splitlines()
    assert "PRIVATE KEY" in key[0]
    assert [line for line in key[1:-1] if line in printed] == []
    assert "PRIVATE KEY" not in printed
    assert not module("device_ca", **options)[0]["changed"]
    shutil.copy(site.hierarchy.directory / "factory/ca.crt", site.hierarchy.directory / "device-gateway/ca.crt")
    failed, _ = module("device_ca", **options)
    assert "restore both from one backup" in failed["msg"]
    assert "Traceback" not in json.dumps(failed)
    failed, _ = module("device_ca", **options | {"gateway": "second"})
    assert "device-second/ca.crt: run " in failed["msg"]
    failed, _ = module("device_ca", **options | {"program": str(tmp_path / "none")})
    assert "none" in failed["msg"]
