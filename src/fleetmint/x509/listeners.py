"""The listeners of a gateway, nginx's and Mosquitto's alike: whose clients each lets in, and what these are called.

The one place that says so. The controller makes the files of trust from it (ca/gateway_files.py) and tells beforehand
who would be let in (ca/listeners.py), the gateway bundles the CRLs by it (gateway/crl_files.py), and the service checks
again who is there (service/identity.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fleetmint.x509 import names

ROOT, DEVICE, FACTORY = "root", "device", "factory"


@dataclass(frozen=True)
class ListenerPolicy:
    """Whom a listener lets in.

    `name` is what files and nginx's parameters call it. `issuers` are the kinds of CA whose leaves are its clients;
    `device` is the CA of the gateway itself. `unit` is the OU of a client, and `check_name` returns the CN when it is
    one, and raises NameRefusedError otherwise.
    """

    name: str
    issuers: tuple[str, ...]
    unit: str
    check_name: Callable[[str], str]

    @property
    def authorities(self) -> tuple[str, ...]:
        """The kinds of CA of its clients' chains, the root first.

        It trusts these and holds their CRLs, and those of no other: a chain without a CRL is refused, so that a
        certificate of another CA cannot enter whatever its name says.
        """
        return (ROOT, *self.issuers)


DEVICES, OPERATORS = "devices", "operators"
LISTENERS: Mapping[str, ListenerPolicy] = MappingProxyType(
    {
        each.name: each
        for each in (
            ListenerPolicy(DEVICES, (DEVICE, FACTORY), names.DEVICES_UNIT, names.device_id),
            ListenerPolicy(OPERATORS, ("operator",), names.OPERATORS_UNIT, names.operator_name),
        )
    }
)
# Their keys are on the controller, and so is the record of what they revoked. A device CA's is on its gateway.
DELIVERED = tuple(dict.fromkeys(name for each in LISTENERS.values() for name in each.authorities if name != DEVICE))
