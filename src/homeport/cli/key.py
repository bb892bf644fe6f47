"""`homeport key`: access keys of users."""

from __future__ import annotations

from pathlib import Path

import click

from homeport.access.identities import Identities, NewKey
from homeport.cli.options import (
    account_option,
    data_option,
    explained,
    json_option,
    settings,
    show_key,
    with_identities,
)
from homeport.kernel.clock import SystemClock


@click.group()
def key() -> None:
    """Create, switch off and remove access keys."""


@key.command("create")
@click.argument("user")
@account_option
@data_option
@json_option
@explained
def create(user: str, account: str | None, data: Path | None, as_json: bool) -> None:
    """Give a user a further access key (two at most)."""

    async def work(identities: Identities, chosen: str) -> NewKey:
        return await identities.create_key(chosen, user, SystemClock().now())

    show_key(with_identities(data, account, work), as_json, settings(data=data).region)


def _switch(key_id: str, account: str | None, data: Path | None, active: bool) -> None:
    async def work(identities: Identities, chosen: str) -> None:
        await identities.set_key_active(chosen, key_id, active)

    with_identities(data, account, work)


@key.command("activate")
@click.argument("key_id")
@account_option
@data_option
@explained
def activate(key_id: str, account: str | None, data: Path | None) -> None:
    """Switch a key on."""
    _switch(key_id, account, data, True)


@key.command("deactivate")
@click.argument("key_id")
@account_option
@data_option
@explained
def deactivate(key_id: str, account: str | None, data: Path | None) -> None:
    """Switch a key off; passwords that came from it stop working at once."""
    _switch(key_id, account, data, False)


@key.command("delete")
@click.argument("key_id")
@account_option
@data_option
@explained
def delete(key_id: str, account: str | None, data: Path | None) -> None:
    """Remove a key."""

    async def work(identities: Identities, chosen: str) -> None:
        await identities.delete_key(chosen, key_id)

    with_identities(data, account, work)
