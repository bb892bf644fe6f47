"""Metadata: one SQL layer, written once in SQLAlchemy Core, run on the raw drivers by `engine.py`."""
