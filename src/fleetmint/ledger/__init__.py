"""The ledger: one schema for the factory's and the gateway's, SQLite by default, PostgreSQL by URL.

`open_ledger` gives an engine, `reading` and `writing` give connections; everything else is a function over one.
"""

from fleetmint.ledger.engine import create_schema, has_schema, open_ledger, reading, writing

__all__ = ["create_schema", "has_schema", "open_ledger", "reading", "writing"]
