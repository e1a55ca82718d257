"""What a worker process holds: opened when it is first needed, kept when that worked, tried again when it did not.

So a service that is started before its CA or its ledger is there answers 503 and heals, rather than not starting; and a
worker that was forked shares no database connection with its parent.
"""

from functools import cached_property

from cryptography import x509
from sqlalchemy.engine import Engine

from fleetmint.errors import StateError
from fleetmint.ledger import open_ledger
from fleetmint.pki.authority import Authority, load_authority, load_certificate
from fleetmint.service.config import Config


class Resources:
    """The ledger, the device CA's key, and the CAs of the doors."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @cached_property
    def engine(self) -> Engine:
        """The ledger."""
        return open_ledger(self.config.ledger)

    @cached_property
    def authority(self) -> Authority:
        """The device CA, whose key signs."""
        found = load_authority(self.config.device_ca, None)
        if found.site != self.config.site:
            raise StateError(
                f"the CA in {self.config.device_ca} belongs to the site {found.site!r}: install this site's"
            )
        return found

    @cached_property
    def device_issuers(self) -> tuple[x509.Certificate, ...]:
        """The CAs whose leaves are devices."""
        return load_certificate(self.config.trusted("device")), load_certificate(self.config.trusted("factory"))

    @cached_property
    def operator_issuers(self) -> tuple[x509.Certificate, ...]:
        """The CA whose leaves are operators."""
        return (load_certificate(self.config.trusted("operator")),)
