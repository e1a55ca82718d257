"""The ledger: one schema for the factory's and the gateway's, SQLite by default, PostgreSQL by URL.

`open_ledger` gives an engine, `reading` and `writing` give connections; everything else is a function over one.
"""

from fleetmint.ledger.engine import open_ledger, reading, writing
from fleetmint.ledger.upgrade import create_schema, looking, open_factory_ledger

__all__ = ["create_schema", "looking", "open_factory_ledger", "open_ledger", "reading", "writing"]
