"""The grammar of every name a certificate can carry: one regular expression each, used everywhere."""

import re

from cryptography import x509
from cryptography.x509.oid import NameOID

from fleetmint.errors import NameRefusedError

# A device id is also an MQTT client id, a topic level and a file name: nothing in it needs quoting in any of them.
DEVICE_ID_PATTERN = "^[a-z0-9][a-z0-9-]{2,62}$"
# An operator always holds an "@" and a device never can, so neither can pass for the other.
OPERATOR_NAME_PATTERN = "^[a-z0-9][a-z0-9._-]{0,30}@[a-z0-9][a-z0-9.-]{0,30}$"
# A server of the maker's own: a part of file names, and never a name that somebody calls.
SERVICE_NAME_PATTERN = "^[a-z0-9][a-z0-9-]{0,62}$"
# The O of every subject of one fleet, and a part of file names.
SITE_NAME_PATTERN = "^[a-z0-9][a-z0-9-]{1,30}$"

DEVICES_UNIT = "devices"
OPERATORS_UNIT = "operators"
GATEWAYS_UNIT = "gateways"
SERVICES_UNIT = "services"
AUTHORITIES_UNIT = "authorities"


def device_id(text: str) -> str:
    """Return `text` if it is a device id; raise NameRefusedError otherwise."""
    return _checked(
        text,
        DEVICE_ID_PATTERN,
        "device id",
        "3 to 63 of a-z, 0-9 and '-', not starting with '-', such as 'lamp-000001'",
    )


def operator_name(text: str) -> str:
    """Return `text` if it names an operator; raise NameRefusedError otherwise."""
    return _checked(text, OPERATOR_NAME_PATTERN, "operator name", "name@place in lower case, such as 'alice@workshop'")


def service_name(text: str) -> str:
    """Return `text` if it names a service; raise NameRefusedError otherwise."""
    return _checked(text, SERVICE_NAME_PATTERN, "name of a service", "1 to 63 of a-z, 0-9 and '-', such as 'grafana'")


def site_name(text: str) -> str:
    """Return `text` if it names a site; raise NameRefusedError otherwise."""
    return _checked(text, SITE_NAME_PATTERN, "site name", "2 to 31 of a-z, 0-9 and '-', such as 'workshop'")


def subject(site: str, unit: str, common_name: str) -> x509.Name:
    """Return the subject O, OU, CN: in this order, because a directoryName constraint matches a prefix of it."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, site),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def common_name(name: x509.Name) -> str | None:
    """Return the one CN of `name`, or None when it has none or several."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else None


def _checked(text: str, pattern: str, kind: str, grammar: str) -> str:
    # fullmatch, since "$" also matches before a trailing newline
    if not re.fullmatch(pattern.removeprefix("^").removesuffix("$"), text):
        raise NameRefusedError(f"{text!r} is no {kind}: it has to be {grammar}")
    return text
