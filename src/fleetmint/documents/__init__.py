"""What travels between machines as a file: each format with its writer beside its reader."""
