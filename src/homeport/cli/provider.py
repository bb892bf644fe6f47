"""`homeport provider`: issuers of web identity tokens, also with pinned keys, which IAM's API cannot express."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

import click

from homeport.cli.options import account_option, data_option, explained, json_option, with_folder
from homeport.folder import OpenFolder
from homeport.iam import accounts, providers
from homeport.iam.providers_store import Provider
from homeport.kernel.clock import SystemClock


@click.group()
def provider() -> None:
    """Issuers whose tokens roles may trust: CI systems, clusters, single sign-on."""


def _arn(account: str, url: str) -> str:
    return f"arn:aws:iam::{account}:oidc-provider/{providers.address_of(url)}"


@provider.command("add")
@click.argument("url")
@click.option("--client-id", "client_ids", multiple=True, help="Accepted audience (aud); may be repeated.")
@click.option(
    "--jwks",
    type=click.File(),
    help="Key set (JWKS) to verify tokens with, for an issuer that this server cannot reach; - reads standard input.",
)
@account_option
@data_option
@json_option
@explained
def add(
    url: str,
    client_ids: tuple[str, ...],
    jwks: IO[str] | None,
    account: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Add the issuer at URL (https://...). Without --jwks its keys are fetched from it."""
    keys = jwks.read() if jwks is not None else None

    async def work(folder: OpenFolder, chosen: str) -> Provider:
        await accounts.must_exist(folder.db, chosen)
        now = SystemClock().now()
        return await providers.create(folder.db, now, chosen, url, client_ids, (), keys, {})

    made = with_folder(data, account, work)
    click.echo(json.dumps(_shown(made)) if as_json else f"  provider  {made.arn}")


@provider.command("pin")
@click.argument("url")
@click.argument("jwks", type=click.File())
@account_option
@data_option
@explained
def pin(url: str, jwks: IO[str], account: str | None, data: Path | None) -> None:
    """Verify tokens of URL with the key set in the file JWKS and no other keys, at once."""
    keys = jwks.read()

    async def work(folder: OpenFolder, chosen: str) -> None:
        await providers.pin_keys(folder.db, chosen, _arn(chosen, url), keys)

    with_folder(data, account, work)


@provider.command("unpin")
@click.argument("url")
@account_option
@data_option
@explained
def unpin(url: str, account: str | None, data: Path | None) -> None:
    """Fetch the keys from the issuer at URL again."""

    async def work(folder: OpenFolder, chosen: str) -> None:
        await providers.pin_keys(folder.db, chosen, _arn(chosen, url), None)

    with_folder(data, account, work)


@provider.command("list")
@account_option
@data_option
@json_option
@explained
def list_(account: str | None, data: Path | None, as_json: bool) -> None:
    """List the issuers of the account."""

    async def work(folder: OpenFolder, chosen: str) -> list[Provider]:
        return await providers.all_of(folder.db, chosen)

    found = with_folder(data, account, work)
    if as_json:
        click.echo(json.dumps([_shown(each) for each in found]))
        return
    for each in found:
        keys = "pinned keys" if each.jwks is not None else "keys fetched from the issuer"
        click.echo(f"https://{each.url}  client ids: {', '.join(each.client_ids) or 'none'}  {keys}")


@provider.command("delete")
@click.argument("url")
@account_option
@data_option
@explained
def delete(url: str, account: str | None, data: Path | None) -> None:
    """Remove the issuer at URL; its tokens and the sessions made with them stop working at once."""

    async def work(folder: OpenFolder, chosen: str) -> None:
        await providers.delete(folder.db, chosen, _arn(chosen, url))

    with_folder(data, account, work)


def _shown(found: Provider) -> dict[str, object]:
    return {
        "arn": found.arn,
        "url": f"https://{found.url}",
        "clientIds": list(found.client_ids),
        "pinnedKeys": found.jwks is not None,
    }
