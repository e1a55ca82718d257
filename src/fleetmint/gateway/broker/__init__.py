"""Looking after the broker: what devices leave in it, and who holds its connections."""
