"""`homeport account`: accounts, each a registry of its own."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import click

from homeport.access.identities import Identities, NewKey
from homeport.cli.options import data_option, explained, json_option, settings, show_key, with_identities
from homeport.kernel.clock import SystemClock
from homeport.kernel.names import AccountId


@click.group()
def account() -> None:
    """Create and list accounts."""


@account.command("create")
@click.argument("account_id", required=False)
@click.option("--name", default="", help="What people call it.")
@data_option
@json_option
@explained
def create(account_id: str | None, name: str, data: Path | None, as_json: bool) -> None:
    """Create an account with an administrator; the id is made up unless given."""
    chosen = AccountId(account_id or f"{secrets.randbelow(9 * 10**11) + 10**11}")

    async def work(identities: Identities, _: str) -> NewKey:
        return await identities.create_account(chosen, name or chosen, SystemClock().now())

    show_key(with_identities(data, None, work), as_json, settings(data=data).region)


@account.command("list")
@data_option
@json_option
@explained
def list_(data: Path | None, as_json: bool) -> None:
    """List all accounts."""

    async def work(identities: Identities, _: str) -> list[tuple[str, str]]:
        return await identities.accounts()

    found = with_identities(data, None, work)
    if as_json:
        click.echo(json.dumps([{"accountId": each, "name": name} for each, name in found]))
        return
    for each, name in found:
        click.echo(f"{each}  {name}")
