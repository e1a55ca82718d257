"""What each kind of certificate is: the only place that decides usages, lifetimes, names and issuers.

Lifetimes follow one rule: nothing that a device or a gateway depends on may end while nobody is looking. No leaf
outlives its issuer. What a playbook renews is made anew by the first run after its youth (Profile.shortened for a
shorter life), so that each run buys two years; `renew_before` of the rest leaves time to notice.
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

    @property
    def youth(self) -> timedelta:
        """Return how old a certificate is when it is renewed."""
        return self.lifetime - self.renew_before

    def shortened(self, lifetime: timedelta) -> "Profile":
        """Return this profile with a shorter life, of which a third at most passes until it is renewed.

        Raises FleetmintError unless `lifetime` is a day at least and no longer than the profile's own.
        """
        if not timedelta(days=1) <= lifetime <= self.lifetime:
            raise FleetmintError(
                f"a {self.name} certificate lasts 1 to {self.lifetime.days} days, not {lifetime.days}: phones refuse"
                " longer ones"
            )
        return replace(self, lifetime=lifetime, renew_before=lifetime - min(self.youth, lifetime / 3))


# Phones refuse server certificates of private CAs that last longer than 825 days.
LEAF = timedelta(days=800)
# How old a certificate is when a run of a playbook renews it: a server's, and that of somebody who has to fetch it.
_SERVER_YOUTH, _CLIENT_YOUTH = timedelta(days=30), timedelta(days=90)

_SERVER = Profile(
    "server", "server-ca", names.GATEWAYS_UNIT, LEAF, LEAF - _SERVER_YOUTH, SERVER, alternative_names=True
)
# Nobody asks for a list of a server CA's, so a service's key that was lost is good until its certificate ends.
_SERVICE = Profile(
    "service", "server-ca", names.SERVICES_UNIT, YEAR, YEAR - _CLIENT_YOUTH, SERVER, alternative_names=True
)
_OPERATOR = Profile("operator", "operator-ca", names.OPERATORS_UNIT, LEAF, LEAF - _CLIENT_YOUTH, CLIENT)

_ALL = (
    # The CRLs that the controller signs last until a CA ends: ca/crls.py has the rule.
    Profile("root", None, names.AUTHORITIES_UNIT, 20 * YEAR, 2 * YEAR, None, "P-384", is_ca=True, path_length=1),
    Profile("server-ca", "root", names.AUTHORITIES_UNIT, 10 * YEAR, 3 * YEAR, SERVER, is_ca=True, path_length=0),
    Profile(
        "operator-ca", "root", names.AUTHORITIES_UNIT, 10 * YEAR, 3 * YEAR, CLIENT, is_ca=True, path_length=0,
        clients=names.OPERATORS_UNIT,
    ),
    Profile(
        "factory-ca", "root", names.AUTHORITIES_UNIT, 10 * YEAR, 3 * YEAR, CLIENT, is_ca=True, path_length=0,
        clients=names.DEVICES_UNIT,
    ),
    # The gateway signs this CRL itself, every two days.
    Profile(
        "device-ca", "root", names.AUTHORITIES_UNIT, 10 * YEAR, 3 * YEAR, CLIENT, is_ca=True, path_length=0,
        clients=names.DEVICES_UNIT, crl_lifetime=timedelta(days=7),
    ),
    _SERVER,
    _SERVICE,
    _OPERATOR,
    replace(_OPERATOR, name="station"),
    replace(_OPERATOR, name="dashboard"),
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
