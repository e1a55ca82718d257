"""What gateway.toml may say about the key of the device CA."""

from fleetmint.errors import StateError

PLAIN, SEALED = "plain", "sealed"


def check_wanted(value: str) -> str:
    """Return `value`; raise StateError unless it is a way to keep a key."""
    if value not in (PLAIN, SEALED):
        raise StateError(f"device_ca_key has to be {SEALED!r} or {PLAIN!r}, not {value!r}")
    return value
