"""Copies in other registries: what the owner configured, and backfills of what was pushed before."""
