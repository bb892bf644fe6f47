"""Secrets over time, and under which key they open."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from homeport.access.sealing import Sealer
from homeport.database.tables import secret, secret_version
from homeport.kernel.errors import DecryptionFailure, SecretNotFound
from homeport.secrets import rules
from homeport.secrets.model import SecretRecord, Value
from homeport.secrets.service import Secrets
from tests.unit.repositories.registry import ACCOUNT, START, Registry

REGION = "eu-central-1"
WEEK = timedelta(days=7)
DAY = timedelta(days=1)


def _key(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@pytest.fixture
def secrets(registry: Registry) -> Secrets:
    """The secrets of an empty region."""
    return Secrets(registry.db, Sealer(_key("one")), REGION)


def create(registry: Registry, secrets: Secrets, name: str = "hub") -> SecretRecord:
    arn = rules.new_arn(REGION, ACCOUNT, name)
    value = Value(b"hunter2", binary=False)
    return registry.run(secrets.create(START, ACCOUNT, name, arn, value, None, None, {}))


def test_a_secret_is_found_until_its_recovery_window_ends(registry: Registry, secrets: Secrets) -> None:
    made = create(registry, secrets)
    registry.run(secrets.delete(START, made, WEEK))

    before = registry.run(secrets.find(ACCOUNT, "hub", START + WEEK - DAY))
    after = registry.run(secrets.find(ACCOUNT, "hub", START + WEEK))

    assert before is not None
    assert after is None
    with pytest.raises(SecretNotFound):
        registry.run(secrets.restore(START + WEEK, made))


def test_what_is_past_its_recovery_window_is_purged_with_its_values(
    registry: Registry, secrets: Secrets
) -> None:
    registry.run(secrets.delete(START, create(registry, secrets), WEEK))
    create(registry, secrets, "kept")

    early, late = (registry.run(secrets.purge(START + end)) for end in (WEEK - DAY, WEEK))

    assert (early, late) == (0, 1)
    assert len(registry.rows(secret)) == len(registry.rows(secret_version)) == 1


def test_a_name_is_free_again_when_the_recovery_window_ends(registry: Registry, secrets: Secrets) -> None:
    old = create(registry, secrets)
    registry.run(secrets.delete(START, old, WEEK))

    arn = rules.new_arn(REGION, ACCOUNT, "hub")
    new = registry.run(secrets.create(START + WEEK, ACCOUNT, "hub", arn, None, None, None, {}))

    assert new.arn != old.arn
    assert new.versions == ()


def test_a_value_opens_only_with_the_key_that_sealed_it_and_in_its_own_secret(
    registry: Registry, secrets: Secrets
) -> None:
    one, other = create(registry, secrets), create(registry, secrets, "other")
    foreign = Secrets(registry.db, Sealer(_key("another")), REGION)

    assert secrets.current(one) == b"hunter2"
    with pytest.raises(DecryptionFailure):
        foreign.current(one)
    with pytest.raises(DecryptionFailure):
        secrets.reveal(other, one.versions[0])
