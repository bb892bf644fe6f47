"""`homeport join`: makes the data folder of a further node of a registry whose metadata is in PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from homeport import folder
from homeport.cli.options import data_option, explained, json_option, settings, show_key
from homeport.config import Settings
from homeport.folder import is_initialised


@click.command()
@data_option
@click.option("--database", help=f"{Settings.model_fields['database'].description} [HOMEPORT_DATABASE].")
@click.option("--storage", help=f"{Settings.model_fields['storage'].description} [HOMEPORT_STORAGE].")
@click.option(
    "--master-key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The registry's master key; it is copied into the data folder [HOMEPORT_MASTER_KEY_FILE].",
)
@click.option("--region", help="Region name, that of the other nodes [HOMEPORT_REGION; default: us-east-1].")
@json_option
@explained
def join(
    data: Path | None,
    database: str | None,
    storage: str | None,
    master_key_file: Path | None,
    region: str | None,
    as_json: bool,
) -> None:
    """Make the data folder of a further node, or of a machine that runs commands for a registry.

    It needs the address of the database and the registry's master key, and nothing from another node's data folder.
    `homeport serve` does the same at its first start.
    """
    found = settings(
        data=data, database=database, storage=storage, master_key_file=master_key_file, region=region
    )
    if is_initialised(found.data):
        raise click.ClickException(f"{found.data} holds a registry already.")
    made = asyncio.run(folder.join(found))
    if as_json:
        click.echo(json.dumps({"accountId": made.account, "region": made.region}))
    else:
        click.echo(_joined(made))


def begin_or_join(found: Settings) -> Settings:
    """Make the data folder of `found`, and the registry if this node is the first; print which of both it was."""
    made, created = asyncio.run(folder.begin_or_join(found))
    if created is None:
        click.echo(_joined(made))
    else:
        click.echo(f"Made a new registry: account {made.account}, region {made.region}\n")
        show_key(created, False, made.region, chosen=made.administrator_access_key_id is not None)
    return made


def _joined(made: Settings) -> str:
    return f"Joined the registry of account {made.account}, region {made.region}."
