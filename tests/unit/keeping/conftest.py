"""The fixtures of these tests."""

from tests.unit.repositories.registry import registry

__all__ = ["registry"]
