"""A Linux machine beside a real signing service, whose clock is the test's."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fleetmint.cli import root
from fleetmint.device.directory import Directory
from fleetmint.documents import token as tokens
from fleetmint.documents.reach import FirstContact, Reach
from fleetmint.documents.token import Token
from fleetmint.trust.bundle import Bundle
from tests.support.firmware_service import RealGateway, service_of
from tests.support.firmware_site import DEVICE, Site, make_site


@pytest.fixture(scope="session")
def pki() -> Site:
    return make_site(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def gateway(pki: Site, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    with service_of(pki, tmp_path / "gateway", tmp_path_factory.getbasetemp() / "gateway-template") as made:
        yield made


@dataclass(frozen=True)
class Machine:
    """The machine: its directory, and the file that was carried to it."""

    gateway: RealGateway
    path: Path
    token: Path

    @property
    def directory(self) -> Directory:
        return Directory(self.path)

    def run(self, *arguments: object) -> Result:
        result = CliRunner().invoke(root, [*map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def enrol(self, *arguments: object) -> Result:
        return self.run("enrol", "--token-file", self.token, "--to", self.path, *arguments)

    def renew(self, *arguments: object) -> Result:
        return self.run("renew", self.path, *arguments)

    def give_token(self, bundle: Bundle, **reach: Any) -> None:
        """Let the controller make a token for it."""
        self.gateway.register()
        assert self.gateway.token is not None
        where = {"gateway": "localhost", "https_port": self.gateway.https_port, "mqtt_port": self.gateway.mqtt_port}
        token = Token(DEVICE, self.gateway.token, "2099-01-01T00:00:00Z")
        tokens.save(token, self.token, FirstContact(Reach(**{**where, **reach}), bundle))

    def files(self) -> dict[str, bytes]:
        return {name: (self.path / name).read_bytes() for name in ("ca.pem", "cert.pem", "key.pem")}


@pytest.fixture
def unknown(gateway: RealGateway, tmp_path: Path) -> Machine:
    """One that the gateway has never heard of."""
    return Machine(gateway, tmp_path / "tls", tmp_path / "pump.token")


@pytest.fixture
def machine(pki: Site, unknown: Machine) -> Machine:
    unknown.give_token(pki.bundle())
    return unknown


@pytest.fixture
def enrolled(machine: Machine) -> Machine:
    result = machine.enrol()
    assert result.exit_code == 0, result.output
    machine.gateway.requests.clear()
    return machine


@pytest.fixture
def lose(gateway: RealGateway) -> Callable[[int], None]:
    """Let the answer to the request with this number, from now on, get lost."""

    def nth(number: int) -> None:
        gateway.requests.clear()
        gateway.loses = number

    return nth
