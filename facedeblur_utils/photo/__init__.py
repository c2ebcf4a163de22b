"""My own picture."""
