"""`homeport user`: users of an account and the policies attached to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

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
from homeport.iam import accounts, entities, inline, inline_store, keys_store, users, users_store
from homeport.iam.entities import Entity, Kind
from homeport.iam.model import NewKey
from homeport.kernel.clock import SystemClock
from homeport.kernel.errors import NoSuchEntity

_ALL = entities.QUOTAS["user"]


@click.group()
def user() -> None:
    """Create, list and remove users, and attach policies to them."""


@user.command("create")
@click.argument("name")
@click.option(
    "--policy-file", type=click.File(), help="IAM policy document to attach; - reads standard input."
)
@account_option
@data_option
@json_option
@explained
def create(
    name: str, policy_file: IO[str] | None, account: str | None, data: Path | None, as_json: bool
) -> None:
    """Create a user with an access key. Without a policy the user may do nothing."""
    document = policy_file.read() if policy_file is not None else None
    entities.check_name("userName", name, 64)

    async def work(folder: OpenFolder, chosen: str) -> NewKey:
        now = SystemClock().now()
        return await accounts.create_user(folder.db, folder.sealer, chosen, name, document, now)

    show_key(with_folder(data, account, work), as_json, settings(data=data).region)


@user.command("list")
@account_option
@data_option
@json_option
@explained
def list_(account: str | None, data: Path | None, as_json: bool) -> None:
    """List users with their keys and policies."""

    async def work(folder: OpenFolder, chosen: str) -> list[dict[str, object]]:
        named = [each.name for each in await users_store.page(folder.db, chosen, "/", "", _ALL)]
        return [
            {
                "userName": each,
                "accessKeys": [
                    {"accessKeyId": key.id, "active": key.active}
                    for key in await keys_store.of(folder.db, chosen, each)
                ],
                "policies": list(await inline_store.of(folder.db, chosen, Kind.USER.value, each)),
            }
            for each in named
        ]

    found = with_folder(data, account, work)
    if as_json:
        click.echo(json.dumps(found))
        return
    for each in found:
        click.echo(f"{each['userName']}  keys: {each['accessKeys']}  policies: {each['policies']}")


@user.command("delete")
@click.argument("name")
@account_option
@data_option
@explained
def delete(name: str, account: str | None, data: Path | None) -> None:
    """Remove a user; keys and registry passwords stop working at once."""

    async def work(folder: OpenFolder, chosen: str) -> None:
        with instead_of(NoSuchEntity, f"There is no user {name} in account {chosen}."):
            await users.delete_with_everything(folder.db, chosen, name)

    with_folder(data, account, work)


@user.command("put-policy")
@click.argument("name")
@click.argument("policy_file", type=click.File())
@click.option("--policy-name", default="default", show_default=True)
@account_option
@data_option
@explained
def put_policy(
    name: str, policy_file: IO[str], policy_name: str, account: str | None, data: Path | None
) -> None:
    """Attach a policy to a user, or replace it; it counts from the next request on."""
    document = policy_file.read()
    entities.check_name("policyName", policy_name, 128)

    async def work(folder: OpenFolder, chosen: str) -> None:
        with instead_of(NoSuchEntity, f"There is no user {name} in account {chosen}."):
            await inline.put(folder.db, Entity(Kind.USER, chosen, name, "/"), policy_name, document)

    with_folder(data, account, work)


@user.command("delete-policy")
@click.argument("name")
@click.option("--policy-name", default="default", show_default=True)
@account_option
@data_option
@explained
def delete_policy(name: str, policy_name: str, account: str | None, data: Path | None) -> None:
    """Remove a policy from a user."""

    async def work(folder: OpenFolder, chosen: str) -> None:
        with instead_of(NoSuchEntity, f"The user {name} has no policy named {policy_name}."):
            await inline.delete(folder.db, Entity(Kind.USER, chosen, name, "/"), policy_name)

    with_folder(data, account, work)
