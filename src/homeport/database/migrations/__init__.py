"""Schema changes, run by `migrate.py` through the same driver that serves requests."""
