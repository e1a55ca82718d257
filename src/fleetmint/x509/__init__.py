"""X.509 and what belongs to it, as bytes: nothing here knows where a CA lies."""
