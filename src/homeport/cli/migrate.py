"""`homeport migrate`: brings the database to the schema of this program."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from homeport.cli.options import data_option, explained, json_option, settings
from homeport.database.migrate import HEAD
from homeport.folder import migrate as bring_up
from homeport.kernel.errors import Unavailable


@click.command()
@click.option(
    "--database", help="Address of a PostgreSQL database [HOMEPORT_DATABASE; default: the folder's own]."
)
@data_option
@json_option
@explained
def migrate(data: Path | None, database: str | None, as_json: bool) -> None:
    """Bring the database to the schema of this program, in one transaction. One that is newer is refused.

    Several nodes may run it at once: one of them does it. A database in the data folder is migrated by every command.
    """
    found = settings(data=data, database=database)
    if found.database is None and not found.data.is_dir():
        raise Unavailable(f"There is no data folder {found.data}.")
    had = asyncio.run(bring_up(found))
    if as_json:
        click.echo(json.dumps({"from": had, "to": HEAD}))
    elif had == HEAD:
        click.echo(f"The database has schema {HEAD} already.")
    else:
        click.echo(f"Migrated from schema {had or 'none'} to {HEAD}.")
