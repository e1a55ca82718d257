"""A device that is a Linux machine: its identity in files, enrolled, renewed and recovered as a board does it."""
