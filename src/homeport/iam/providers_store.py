"""All SQL about OpenID Connect providers: rows in, values out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select, update

from homeport.database.engine import Reader, Row, Statement, Transaction
from homeport.database.tables import iam_oidc_provider
from homeport.kernel.clock import from_micros, to_micros


@dataclass(frozen=True, slots=True)
class Provider:
    """An issuer of web identity tokens that roles may trust; `url` is without https://, as in the ARN.

    `jwks` holds the keys that an operator pinned; without them they are discovered at the issuer.
    """

    account: str
    url: str
    client_ids: tuple[str, ...]
    thumbprints: tuple[str, ...]
    jwks: str | None
    created_at: datetime

    @property
    def arn(self) -> str:
        """Its resource name."""
        return f"arn:aws:iam::{self.account}:oidc-provider/{self.url}"


_columns = select(
    iam_oidc_provider.c.account_id,
    iam_oidc_provider.c.url,
    iam_oidc_provider.c.client_ids,
    iam_oidc_provider.c.thumbprints,
    iam_oidc_provider.c.jwks,
    iam_oidc_provider.c.created_at,
)
_one = (
    iam_oidc_provider.c.account_id == bindparam("account"),
    iam_oidc_provider.c.url == bindparam("address"),
)
_by_url = Statement(_columns.where(*_one))
_all = Statement(
    _columns.where(iam_oidc_provider.c.account_id == bindparam("account")).order_by(iam_oidc_provider.c.url)
)
_insert = Statement(
    insert(iam_oidc_provider).values(
        account_id=bindparam("account"),
        url=bindparam("address"),
        client_ids=bindparam("clients"),
        thumbprints=bindparam("prints"),
        jwks=bindparam("keys"),
        created_at=bindparam("now"),
    )
)
_change = Statement(
    update(iam_oidc_provider)
    .where(*_one)
    .values(client_ids=bindparam("clients"), thumbprints=bindparam("prints"), jwks=bindparam("keys"))
)
_delete = Statement(delete(iam_oidc_provider).where(*_one))


def _value(row: Row) -> Provider:
    clients, thumbprints = tuple(json.loads(row[2])), tuple(json.loads(row[3]))
    return Provider(row[0], row[1], clients, thumbprints, row[4], from_micros(row[5]))


async def find(db: Reader, account: str, url: str) -> Provider | None:
    """Return the provider with that address (without https://), or None."""
    row = await db.first(_by_url, account=account, address=url)
    return _value(row) if row else None


async def all_of(db: Reader, account: str) -> list[Provider]:
    """Return the account's providers, in order of address."""
    return [_value(row) for row in await db.all(_all, account=account)]


async def add(tx: Transaction, provider: Provider) -> None:
    """Insert a provider."""
    await tx.run(
        _insert,
        account=provider.account,
        address=provider.url,
        clients=json.dumps(provider.client_ids),
        prints=json.dumps(provider.thumbprints),
        keys=provider.jwks,
        now=to_micros(provider.created_at),
    )


async def change(tx: Transaction, provider: Provider) -> None:
    """Store the client ids, thumbprints and keys of a provider that exists."""
    await tx.run(
        _change,
        account=provider.account,
        address=provider.url,
        clients=json.dumps(provider.client_ids),
        prints=json.dumps(provider.thumbprints),
        keys=provider.jwks,
    )


async def remove(tx: Transaction, provider: Provider) -> None:
    """Delete a provider."""
    await tx.run(_delete, account=provider.account, address=provider.url)
