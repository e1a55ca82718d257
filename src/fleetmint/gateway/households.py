"""From where clients come, as far as they are counted."""

import ipaddress


def household(source: str) -> str:
    """Return the household of an address, which in IPv6 has 2^64 of them; what is no address is returned as it is.

    An IPv4 address that is written as one of IPv6 is itself, and a link-local one is of a machine in the same network:
    all of them would be one household.
    """
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_link_local:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))
