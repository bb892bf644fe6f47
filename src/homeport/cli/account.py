"""`homeport account`: accounts, each a registry of its own."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import click

from homeport.cli.options import data_option, explained, json_option, settings, show_key, with_folder
from homeport.folder import OpenFolder
from homeport.iam import accounts
from homeport.iam.model import NewKey
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

    async def work(folder: OpenFolder, _: str) -> NewKey:
        return await accounts.create(folder.db, folder.sealer, chosen, name or chosen, SystemClock().now())

    show_key(with_folder(data, None, work), as_json, settings(data=data).region)


@account.command("list")
@data_option
@json_option
@explained
def list_(data: Path | None, as_json: bool) -> None:
    """List all accounts."""

    async def work(folder: OpenFolder, _: str) -> list[tuple[str, str]]:
        return await accounts.listing(folder.db)

    found = with_folder(data, None, work)
    if as_json:
        click.echo(json.dumps([{"accountId": each, "name": name} for each, name in found]))
        return
    for each, name in found:
        click.echo(f"{each}  {name}")
