"""`homeport model`: the service model with which AWS clients learn what this registry offers beyond ECR."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

import click

_VERSION = "2026-11-01"


@click.command()
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the model, its paginators and its waiters into this folder, such as ~/.aws/models.",
)
def model(into: Path | None) -> None:
    """Print the service model of Homeport's own operations.

    The AWS CLI learns them with `homeport model > service-2.json` and `aws configure add-model --service-name homeport
    --service-model file://service-2.json`; boto3 finds them in ~/.aws/models, or in a folder that AWS_DATA_PATH names.
    """
    folder = files("homeport.aws").joinpath("models")  # read as data: AWS code is not needed here
    if into is None:
        click.echo(folder.joinpath("homeport", _VERSION, "service-2.json").read_text(), nl=False)
        return
    try:
        with as_file(folder) as found:
            shutil.copytree(found, into.expanduser(), dirs_exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"The model cannot be written: {error}") from error
    click.echo(into.expanduser() / "homeport" / _VERSION)
