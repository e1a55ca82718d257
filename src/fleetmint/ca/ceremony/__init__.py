"""A root on a machine of its own: it makes the root once, and answers requests that come on a stick."""
