"""A gateway that seals, and the key of its CA as the controller brings it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleetmint.cli import root
from fleetmint.gateway.config import Config, load_config
from fleetmint.x509 import keys
from fleetmint.x509.authority import pem
from tests.support.gateway_site import GatewaySite
from tests.support.sealing import Machine
from tests.support.softhsm import token

__all__ = ["token"]
Keep = Callable[[str], Config]


@pytest.fixture
def machine(site: GatewaySite, tmp_path: Path) -> Iterator[Machine]:
    """What seals on this gateway."""
    made = Machine(tmp_path / "secret")
    with made.listen(site.root / "key.sock"):
        yield made


@pytest.fixture
def keep(site: GatewaySite, machine: Machine) -> Keep:
    """Set how the key is to be kept, and return the configuration that says so."""
    text = site.config_path.read_text() + f'seal_socket = "{site.root / "key.sock"}"\n'

    def write(wanted: str) -> Config:
        site.config_path.write_text(f'{text}device_ca_key = "{wanted}"\n')
        return load_config(site.config_path)

    return write


@pytest.fixture
def data(site: GatewaySite) -> bytes:
    """What the controller hands over."""
    return pem(site.device_ca.certificate) + keys.plain_pem(site.device_ca.key)


@pytest.fixture
def gateway(site: GatewaySite, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command of the gateway."""
    monkeypatch.setenv("FLEETMINT_CONFIG", str(site.config_path))

    def run(*arguments: str, data: bytes = b"") -> Result:
        return CliRunner().invoke(root, ["gateway", *arguments], input=data, catch_exceptions=False)

    return run
