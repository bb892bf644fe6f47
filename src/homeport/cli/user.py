"""`homeport user`: users of an account and the policies attached to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

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

    async def work(identities: Identities, chosen: str) -> NewKey:
        return await identities.create_user(chosen, name, document, SystemClock().now())

    show_key(with_identities(data, account, work), as_json, settings(data=data).region)


@user.command("list")
@account_option
@data_option
@json_option
@explained
def list_(account: str | None, data: Path | None, as_json: bool) -> None:
    """List users with their keys and policies."""

    async def work(identities: Identities, chosen: str) -> list[dict[str, object]]:
        return [
            {
                "userName": each,
                "accessKeys": [
                    {"accessKeyId": key, "active": active}
                    for key, active in await identities.keys(chosen, each)
                ],
                "policies": list(await identities.user_policies(chosen, each)),
            }
            for each in await identities.users(chosen)
        ]

    found = with_identities(data, account, work)
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

    async def work(identities: Identities, chosen: str) -> None:
        await identities.delete_user(chosen, name)

    with_identities(data, account, work)


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

    async def work(identities: Identities, chosen: str) -> None:
        await identities.put_policy(chosen, name, policy_name, document)

    with_identities(data, account, work)


@user.command("delete-policy")
@click.argument("name")
@click.option("--policy-name", default="default", show_default=True)
@account_option
@data_option
@explained
def delete_policy(name: str, policy_name: str, account: str | None, data: Path | None) -> None:
    """Remove a policy from a user."""

    async def work(identities: Identities, chosen: str) -> None:
        await identities.delete_policy(chosen, name, policy_name)

    with_identities(data, account, work)
