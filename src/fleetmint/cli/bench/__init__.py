"""The commands of the bench: batches and boards."""
