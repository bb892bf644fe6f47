"""`homeport public`: the aliases of a public registry. ECR Public itself has no API to ask for one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from homeport.cli.options import account_option, data_option, explained, json_option, with_folder
from homeport.folder import OpenFolder
from homeport.iam import accounts
from homeport.kernel.clock import SystemClock
from homeport.kernel.names import AccountId
from homeport.public import service
from homeport.public.model import Alias


@click.group()
def public() -> None:
    """The account's public registry, from which everybody may pull."""


@public.group()
def alias() -> None:
    """Names of the registry in addresses such as public.ecr.example.com/ALIAS/nginx."""


@alias.command("add")
@click.argument("name")
@account_option
@data_option
@explained
def add(name: str, account: str | None, data: Path | None) -> None:
    """Give the registry a further alias, in force at once."""

    async def work(folder: OpenFolder, chosen: str) -> None:
        await accounts.must_exist(folder.db, chosen)
        await service.add_alias(folder.db, AccountId(chosen), name, SystemClock().now())

    with_folder(data, account, work)


@alias.command("list")
@account_option
@data_option
@json_option
@explained
def list_(account: str | None, data: Path | None, as_json: bool) -> None:
    """List the aliases; the default one always works."""

    async def work(folder: OpenFolder, chosen: str) -> list[Alias]:
        await accounts.must_exist(folder.db, chosen)
        return await service.aliases(folder.db, AccountId(chosen), SystemClock().now())

    found = with_folder(data, account, work)
    if as_json:
        shown = [
            {"name": each.name, "status": each.status, "primary": each.is_primary, "default": each.is_default}
            for each in found
        ]
        click.echo(json.dumps(shown))
        return
    for each in found:
        marks = [word for word, true in (("primary", each.is_primary), ("default", each.is_default)) if true]
        click.echo("  ".join([each.name, *marks]))


@alias.command("primary")
@click.argument("name")
@account_option
@data_option
@explained
def primary(name: str, account: str | None, data: Path | None) -> None:
    """Let addresses in answers show this alias; the others go on working."""

    async def work(folder: OpenFolder, chosen: str) -> None:
        await service.set_primary(folder.db, AccountId(chosen), name)

    with_folder(data, account, work)
