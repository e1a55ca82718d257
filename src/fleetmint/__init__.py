"""Fleetmint: an identity for every device of a small fleet."""

__version__ = "0.1.0"
