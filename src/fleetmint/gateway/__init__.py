"""Root's work on the gateway: its device CA, the CRL files, the broker's watch, backup and audit."""
