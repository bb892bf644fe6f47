"""Where metadata and layers shall be, as options of commands say it."""

from __future__ import annotations

import click

HERE = "folder"
"""What is said instead of an address for the data folder."""


def new_places(
    database: str | None, storage: str | None, archive_storage: str | None
) -> dict[str, str | None]:
    """Return the settings that options change, None for the data folder; what is not named stays as it is.

    Errors: click.UsageError.
    """
    if archive_storage is not None and storage in (None, HERE):
        raise click.UsageError("--archive-storage goes with a --storage that is a bucket.")
    values: dict[str, str | None] = {}
    if database is not None:
        values["database"] = None if database == HERE else database
    if storage is not None:
        values["storage"] = None if storage == HERE else storage
        values["archive_storage"] = archive_storage
    return values
