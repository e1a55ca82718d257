"""How a client reaches its gateway, and what it knows before it has ever heard it."""

from dataclasses import dataclass

from fleetmint.trust.bundle import Bundle


@dataclass(frozen=True)
class Reach:
    """How a client reaches its gateway: host name or address, ports of the listeners for its kind."""

    gateway: str
    https_port: int
    mqtt_port: int


@dataclass(frozen=True)
class FirstContact:
    """What a device knows before it has ever heard its gateway: where that is, and a signed trust bundle."""

    reach: Reach
    bundle: Bundle
