"""Fleetmint: an identity for every device of a small fleet."""
