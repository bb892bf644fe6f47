"""`homeport key`: access keys of users."""

from __future__ import annotations

from pathlib import Path

import click

from homeport.cli.options import (
    account_option,
    data_option,
    explained,
    instead_of,
    json_option,
    settings,
    show_key,
    with_folder,
)
from homeport.folder import OpenFolder
from homeport.iam import keys, keys_store
from homeport.iam.model import NewKey
from homeport.kernel.clock import SystemClock
from homeport.kernel.errors import LimitExceeded, NoSuchEntity


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

    async def work(folder: OpenFolder, chosen: str) -> NewKey:
        with (
            instead_of(NoSuchEntity, f"There is no user {user} in account {chosen}."),
            instead_of(LimitExceeded, "A user has at most two access keys; delete one first"),
        ):
            return await keys.create(folder.db, folder.sealer, chosen, user, SystemClock().now())

    show_key(with_folder(data, account, work), as_json, settings(data=data).region)


async def _holder(folder: OpenFolder, account: str, key_id: str) -> str:
    found = await keys_store.holder(folder.db, account, key_id)
    if found is None:
        raise click.ClickException(f"There is no access key {key_id} in account {account}.")
    return found


def _switch(key_id: str, account: str | None, data: Path | None, active: bool) -> None:
    async def work(folder: OpenFolder, chosen: str) -> None:
        await keys.set_active(folder.db, chosen, await _holder(folder, chosen, key_id), key_id, active)

    with_folder(data, account, work)


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

    async def work(folder: OpenFolder, chosen: str) -> None:
        await keys.delete(folder.db, chosen, await _holder(folder, chosen, key_id), key_id)

    with_folder(data, account, work)
