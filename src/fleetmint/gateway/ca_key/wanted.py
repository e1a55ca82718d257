"""What gateway.toml may say about the key of the device CA."""

from fleetmint.errors import StateError
from fleetmint.gateway.ca_key import url

PLAIN, SEALED, TOKEN = "plain", "sealed", "token"


def way(value: str) -> str:
    """Return in which way `value` wants a key kept, PLAIN, SEALED or TOKEN; raise StateError when it is none."""
    if value.startswith(url.SCHEME):
        url.parse(value)
        return TOKEN
    if value not in (PLAIN, SEALED):
        raise StateError(f"device_ca_key has to be {SEALED!r}, {PLAIN!r} or a PKCS #11 URL, not {value!r}")
    return value
