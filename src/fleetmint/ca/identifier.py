"""What a CA of a site is called: its kind, the gateway that it is for, and its phase while another takes its place.

As text it is the path of its directory below the directory of the CAs: `factory`, `device-gateway`, `outgoing/server`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from fleetmint import passphrases
from fleetmint.errors import NameRefusedError
from fleetmint.x509 import names

_DEVICE_PREFIX = "device-"


class Kind(StrEnum):
    """What a CA is for. `server-next` is sealed: it waits until it takes the place of the server CA."""

    ROOT = "root"
    SERVER = "server"
    SERVER_NEXT = "server-next"
    OPERATOR = "operator"
    FACTORY = "factory"
    DEVICE = "device"


class Phase(StrEnum):
    """How far a CA is while another takes its place. The values are the directories on disk."""

    # in use: it issues
    ACTIVE = ""
    # trusted already, issues nothing yet
    PENDING = "incoming"
    # still trusted, issues nothing any more
    PREVIOUS = "outgoing"
    # trusted no more, its CRL still given to the gateways
    DISTRUSTED = "leaving"


# Phases in which a CA is trusted, that of the one in use first.
TRUSTED = (Phase.ACTIVE, Phase.PENDING, Phase.PREVIOUS)
PHASES = tuple(Phase)

_PROFILES = {
    Kind.ROOT: "root",
    Kind.SERVER: "server-ca",
    Kind.SERVER_NEXT: "server-ca",
    Kind.OPERATOR: "operator-ca",
    Kind.FACTORY: "factory-ca",
    Kind.DEVICE: "device-ca",
}


@dataclass(frozen=True)
class CaId:
    """Which CA of a site is meant. Only a device CA has a `gateway`."""

    kind: Kind
    gateway: str = ""
    phase: Phase = Phase.ACTIVE

    @classmethod
    def parse(cls, text: str) -> CaId:
        """Read what `str` writes; raise NameRefusedError when no CA can be called so."""
        place, _, name = text.rpartition("/")
        try:
            phase = Phase(place)
            if text.startswith("/"):
                raise ValueError("an absolute path")
            if name.startswith(_DEVICE_PREFIX):
                return device_ca(names.device_id(name.removeprefix(_DEVICE_PREFIX))).at(phase)
            if name != Kind.DEVICE:
                return cls(Kind(name), phase=phase)
        except ValueError:
            pass
        alone = ", ".join(kind for kind in Kind if kind is not Kind.DEVICE)
        raise NameRefusedError(f"{text!r} is no CA: it has to be {alone} or {_DEVICE_PREFIX}GATEWAY")

    @property
    def name(self) -> str:
        """The name without the phase, which is also that of its directory: `device-gateway`."""
        return _DEVICE_PREFIX + self.gateway if self.kind is Kind.DEVICE else self.kind.value

    @property
    def title(self) -> str:
        """What people call it; the site and this are its CN, of a later one with a number."""
        if self.kind is Kind.ROOT:
            return "root"
        if self.kind is Kind.SERVER_NEXT:
            return "next server CA"
        return f"device CA of {self.gateway}" if self.kind is Kind.DEVICE else f"{self.kind} CA"

    @property
    def profile(self) -> str:
        """The name of its profile."""
        return _PROFILES[self.kind]

    @property
    def passphrase(self) -> str:
        """Which passphrase opens its key."""
        return passphrases.ROOT if self.is_root else passphrases.ISSUING

    @property
    def is_root(self) -> bool:
        """Whether it is a root."""
        return self.kind is Kind.ROOT

    @property
    def is_device(self) -> bool:
        """Whether it is the device CA of a gateway, which also signs its CRL there."""
        return self.kind is Kind.DEVICE

    def at(self, phase: Phase) -> CaId:
        """Return the CA of the same name in another phase."""
        return replace(self, phase=phase)

    def __str__(self) -> str:
        """Return its path below the directory of the CAs."""
        return f"{self.phase}/{self.name}" if self.phase else self.name


def device_ca(gateway: str) -> CaId:
    """Return the device CA of `gateway`."""
    return CaId(Kind.DEVICE, gateway)


ROOT = CaId(Kind.ROOT)
SERVER = CaId(Kind.SERVER)
SERVER_NEXT = CaId(Kind.SERVER_NEXT)
OPERATOR = CaId(Kind.OPERATOR)
FACTORY = CaId(Kind.FACTORY)


def issuing(gateways: Sequence[str]) -> list[CaId]:
    """Return the issuing CAs of a site with these gateways; raise NameRefusedError for a name that is none."""
    return [SERVER, SERVER_NEXT, OPERATOR, FACTORY, *(device_ca(names.device_id(gateway)) for gateway in gateways)]
