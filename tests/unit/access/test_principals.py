"""Principals as the database has them: composed once between two commits, and never older than the last one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from homeport.access.grants import SessionGrant
from homeport.access.principals import Principal, Principals
from homeport.access.sealing import Sealer
from homeport.access.sessions import Sessions, Wish
from homeport.access.tokens import SessionTokens
from homeport.database.migrate import migrate_sqlite
from homeport.database.sqlite import SqliteDatabase
from homeport.iam import accounts, roles
from homeport.kernel.names import AccountId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNT = AccountId("111122223333")
MASTER = bytes.fromhex("8f1c22d7a9b0e64f5507c3119dd8fa3b7e6a0452b1c9e80d33f7265a94eb10cd")
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": str(ACCOUNT)}, "Action": "sts:*"}],
    }
)


class House:
    """One account with its administrator and a role."""

    def __init__(self, folder: Path, runner: asyncio.Runner) -> None:
        self._runner = runner
        migrate_sqlite(folder / "homeport.db")
        sealer = Sealer(MASTER)
        self.db = SqliteDatabase(folder / "homeport.db")
        self.principals = Principals(self.db, sealer)
        self.tokens = SessionTokens(sealer)
        self.key = self.run(accounts.create(self.db, sealer, ACCOUNT, "default", NOW)).access_key_id
        self.role = self.run(
            roles.create(
                self.db,
                NOW,
                ACCOUNT,
                "ci",
                path="/teams/",
                trust_policy=TRUST,
                description=None,
                max_session_seconds=3600,
                boundary=None,
                asked={"team": "red"},
            )
        )

    def run(self, work: Any) -> Any:
        """Run one use case to its end."""
        return self._runner.run(work)

    def user(self) -> Principal | None:
        """The administrator as they are now."""
        found: Principal | None = self.run(self.principals.principal(self.key))
        return found

    def assume(self) -> SessionGrant:
        """Take the role on; return what the token says."""
        user = self.user()
        assert user is not None
        wish = Wish(role_arn=f"arn:aws:iam::{ACCOUNT}:role/teams/ci", name="run")
        made = self.run(Sessions(self.principals, self.tokens).assume(user, None, wish, NOW)).credentials
        return self.tokens.read(made.session_token, made.access_key_id, NOW + timedelta(seconds=1))

    def session(self, grant: SessionGrant) -> Principal | None:
        """The session's principal as it is now."""
        found: Principal | None = self.run(self.principals.session(grant))
        return found

    def commit(self) -> None:
        """Change something that has nothing to do with anybody here."""
        self.run(accounts.create(self.db, Sealer(MASTER), AccountId("444455556666"), "other", NOW))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A database of the test's own."""
    with asyncio.Runner() as runner:
        made = House(tmp_path, runner)
        yield made
        runner.run(made.db.close())


def test_between_two_commits_a_principal_is_the_same_object(house: House) -> None:
    grant = house.assume()

    assert house.user() is house.user()
    assert house.session(grant) is house.session(grant)
    before = house.user(), house.session(grant)
    house.commit()
    assert house.user() is not before[0]
    assert house.session(grant) is not before[1]
    assert (house.user(), house.session(grant)) == before


def test_a_session_is_known_by_its_role_its_name_and_its_tags(house: House) -> None:
    principal = house.session(house.assume())

    assert principal is not None
    assert principal.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/run"
    assert principal.identity_arn == f"arn:aws:iam::{ACCOUNT}:role/teams/ci"
    assert principal.caller.principal_id == f"{house.role.role_id}:run"
    assert principal.caller.facts["aws:principaltag/team"] == ("red",)
    assert principal.caller.facts["aws:tokenissuetime"] == ("2026-01-01T00:00:00Z",)
    assert principal.session_policies is None
    assert principal.policies == ()


def test_nobody_is_remembered_as_somebody(house: House) -> None:
    grant = house.assume()
    house.run(roles.delete(house.db, ACCOUNT, "ci"))

    assert house.session(grant) is None
    assert house.run(house.principals.principal("AKIAUNKNOWN")) is None
