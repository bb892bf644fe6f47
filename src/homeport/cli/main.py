"""The `homeport` command."""

from __future__ import annotations

import click

from homeport import __version__
from homeport.cli.account import account
from homeport.cli.backup import backup
from homeport.cli.fsck import fsck
from homeport.cli.gc import gc
from homeport.cli.image import image
from homeport.cli.init import init
from homeport.cli.join import join
from homeport.cli.key import key
from homeport.cli.lifecycle import lifecycle
from homeport.cli.migrate import migrate
from homeport.cli.model import model
from homeport.cli.move import move
from homeport.cli.provider import provider
from homeport.cli.public import public
from homeport.cli.restore import restore
from homeport.cli.serve import serve
from homeport.cli.session import session
from homeport.cli.user import user


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="homeport")
def main() -> None:
    """A container registry that you run yourself and use exactly as Amazon ECR.

    `homeport serve` starts it; the first start makes the data folder and prints an access key once.
    """


for command in (
    serve,
    init,
    join,
    migrate,
    move,
    account,
    user,
    key,
    provider,
    public,
    image,
    lifecycle,
    gc,
    fsck,
    backup,
    restore,
    session,
    model,
):
    main.add_command(command)
