"""`homeport init`: makes a data folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from homeport.cli.options import data_option, explained, json_option, settings, show_key
from homeport.config import Settings
from homeport.folder import initialise, is_initialised


@click.command()
@data_option
@click.option("--account", help="Account id, twelve digits [HOMEPORT_ACCOUNT; default: made up].")
@click.option("--region", help="Region name [HOMEPORT_REGION; default: us-east-1].")
@click.option("--database", help=f"{Settings.model_fields['database'].description} [HOMEPORT_DATABASE].")
@json_option
@explained
def init(
    data: Path | None, account: str | None, region: str | None, database: str | None, as_json: bool
) -> None:
    """Make the data folder: keys, database, account, administrator and a first access key."""
    found = settings(data=data, account=account, region=region, database=database)
    if is_initialised(found.data):
        raise click.ClickException(f"{found.data} holds a registry already.")
    first_start(found, as_json=as_json)


def first_start(found: Settings, *, as_json: bool = False) -> Settings:
    """Make the data folder of `found`, print the first key and return the settings with their account."""
    made, created = asyncio.run(initialise(found))
    if not as_json:
        click.echo(f"Made a new registry in {made.data}: account {made.account}, region {made.region}\n")
    show_key(created, as_json, made.region, chosen=made.administrator_access_key_id is not None)
    return made
