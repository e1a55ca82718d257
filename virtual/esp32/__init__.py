"""A virtual ESP32: a boot ROM on a pseudo-terminal over a flash in a file, and MicroPython booting from that flash."""
