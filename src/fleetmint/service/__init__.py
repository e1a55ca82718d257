"""The signing service: the sandboxed web application, and nothing else."""
