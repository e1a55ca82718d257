"""From where clients come, as far as they are counted."""

import ipaddress


def household(source: str) -> str:
    """Return the household of an address, which in IPv6 has 2^64 of them; what is no address is returned as it is."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
