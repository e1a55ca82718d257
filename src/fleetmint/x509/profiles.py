"""What each kind of certificate is: the only place that decides usages, lifetimes, names and issuers.

Lifetimes follow one rule: nothing that a device or a gateway depends on may end while nobody is looking. No leaf
outlives its issuer; `renew_before` leaves time to notice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType

from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from fleetmint.errors import FleetmintError
from fleetmint.x509 import names

YEAR = timedelta(days=365)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH

# Clocks of small machines run ahead and behind each other.
BACKDATE = timedelta(hours=1)
# What was signed later than this from now was signed by a clock that ran ahead, or this clock is behind.
SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Profile:
    """One kind of certificate.

    `issuer` names the profile that signs it (None: itself); `unit` is the OU of its subject; `key_kind` is what
    it certifies, in the words of keys.py. Only with `alternative_names` may it carry any. For a client CA,
    `clients` is the OU that everything under it must carry: a critical name constraint says so. Server CAs carry no
    critical extension beyond basic constraints and key usage, since mbedTLS refuses chains with ones it does not know.
    """

    name: str
    issuer: str | None
    unit: str
    lifetime: timedelta
    renew_before: timedelta
    usage: ObjectIdentifier | None
    key_kind: str = "P-256"
    is_ca: bool = False
    path_length: int | None = None
    clients: str | None = None
    alternative_names: bool = False
    crl_lifetime: timedelta | None = None


_SERVER = Profile(
    "server", "server-ca", names.GATEWAYS_UNIT, timedelta(days=396), timedelta(days=60), SERVER, alternative_names=True
)
_OPERATOR = Profile("operator", "operator-ca", names.OPERATORS_UNIT, YEAR, timedelta(days=60), CLIENT)

_ALL = (
    # The root is away on ordinary days, so its CRL lasts as long as the first of the CAs under it (see crls.py).
    Profile("root", None, names.AUTHORITIES_UNIT, 20 * YEAR, 2 * YEAR, None, "P-384", is_ca=True, path_length=1),
    Profile("server-ca", "root", names.AUTHORITIES_UNIT, 10 * YEAR, 3 * YEAR, SERVER, is_ca=True, path_length=0),
    Profile(
        "operator-ca", "root", names.AUTHORITIES_UNIT, 10 * YEAR, 3 * YEAR, CLIENT, is_ca=True, path_length=0,
        clients=names.OPERATORS_UNIT, crl_lifetime=YEAR,
    ),
    Profile(
        "factory-ca", "root", names.AUTHORITIES_UNIT, 10 * YEAR, 3 * YEAR, CLIENT, is_ca=True, path_length=0,
        clients=names.DEVICES_UNIT, crl_lifetime=YEAR,
    ),
    # The gateway signs this CRL itself, every two days.
    Profile(
        "device-ca", "root", names.AUTHORITIES_UNIT, 10 * YEAR, 3 * YEAR, CLIENT, is_ca=True, path_length=0,
        clients=names.DEVICES_UNIT, crl_lifetime=timedelta(days=7),
    ),
    _SERVER,
    _OPERATOR,
    Profile("station", "operator-ca", names.OPERATORS_UNIT, YEAR, timedelta(days=60), CLIENT),
    Profile("dashboard", "operator-ca", names.OPERATORS_UNIT, YEAR, timedelta(days=60), CLIENT),
    Profile("device", "device-ca", names.DEVICES_UNIT, YEAR, YEAR / 3, CLIENT),
    Profile("factory-device", "factory-ca", names.DEVICES_UNIT, YEAR, YEAR / 3, CLIENT),
    # For what cannot use an EC key: an old browser, smart card or TLS library. The CAs above stay EC. Devices never.
    replace(_SERVER, name="server-rsa", key_kind="RSA-3072"),
    replace(_OPERATOR, name="operator-rsa", key_kind="RSA-3072"),
)  # fmt: skip

PROFILES: Mapping[str, Profile] = MappingProxyType({profile.name: profile for profile in _ALL})


def profile(name: str) -> Profile:
    """Return the profile called `name`; raise FleetmintError with the choice when there is none."""
    try:
        return PROFILES[name]
    except KeyError:
        raise FleetmintError(f"there is no certificate profile {name!r}: choose one of {', '.join(PROFILES)}") from None
