"""Commands of a device that is a Linux machine: they need no site, only a directory of their own."""
