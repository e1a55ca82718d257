"""Which Raspberry Pis and gateways are in this network, before any of them is known.

    mdns        asks the network, and says who answered what
    neighbours  which network cards this machine has seen of late
    machines    what of that is a gateway or a Pi, and how it can be reached

Everything that is heard is said by strangers: it proves nothing, and is made printable by whoever shows it.
"""
