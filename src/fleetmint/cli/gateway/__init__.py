"""The commands that run on a gateway."""
