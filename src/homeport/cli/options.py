"""Options that several commands share, and how a command reaches the data folder."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from homeport import config
from homeport.access.sealing import MasterKeyError
from homeport.config import Settings
from homeport.folder import Folder, OpenFolder, is_initialised
from homeport.iam.model import NewKey
from homeport.kernel.errors import HomeportError

Result = TypeVar("Result")
Command = Callable[..., Any]


class CurrentStderr(io.TextIOBase):
    """Whatever standard error is at the moment of a write."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def data_option(command: Command) -> Command:
    """Add --data."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        help="Data folder [HOMEPORT_DATA; default: data].",
    )(command)


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def account_option(command: Command) -> Command:
    """Add --account."""
    return click.option("--account", help="Account id, twelve digits [default: the folder's own account].")(
        command
    )


def settings(**options: Any) -> Settings:
    """Return the settings, or end with a message that says what is wrong with them."""
    try:
        return config.load(**options)
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise click.ClickException("Settings are not valid:\n" + "\n".join(lines)) from error
    except (OSError, ValueError) as error:
        raise click.ClickException(f"The settings file cannot be read: {error}") from error


def explained(command: Callable[..., Result]) -> Callable[..., Result]:
    """Turn expected failures of a command into one line on standard error and exit status 1."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Result:
        try:
            return command(*args, **kwargs)
        except HomeportError as error:
            raise click.ClickException(error.message) from error
        except MasterKeyError as error:
            raise click.ClickException(str(error)) from error
        except PermissionError as error:
            raise click.ClickException(f"No permission: {error.filename}") from error

    return wrapper


@contextmanager
def instead_of(error: type[HomeportError], text: str) -> Iterator[None]:
    """End the command with `text` where `error` was worded for users of the API."""
    try:
        yield
    except error:
        raise click.ClickException(text) from None


def with_folder(
    data: Path | None, account: str | None, work: Callable[[OpenFolder, str], Awaitable[Result]]
) -> Result:
    """Run `work` on an initialised folder, with the account that was chosen."""
    return with_settings(settings(data=data), account, work)


def with_settings(
    chosen: Settings, account: str | None, work: Callable[[OpenFolder, str], Awaitable[Result]]
) -> Result:
    """Run `work` on the initialised folder of these settings, whatever the environment says by now."""
    if not is_initialised(chosen.data):
        raise click.ClickException(
            f"{chosen.data} holds no registry yet. Run `homeport init --data {chosen.data}` first."
        )

    async def run() -> Result:
        async with Folder(chosen) as folder:
            return await work(folder, account or str(chosen.account))

    return asyncio.run(run())


def show_key(created: NewKey, as_json: bool, region: str, *, chosen: bool = False) -> None:
    """Print a new access key: the only time that its secret is shown; one that was `chosen` is not shown."""
    if as_json:
        shown = {
            "accountId": created.account,
            "region": region,
            "userName": created.user,
            "userArn": created.user_arn,
            "accessKeyId": created.access_key_id,
            **({} if chosen else {"secretAccessKey": created.secret_access_key}),
        }
        click.echo(json.dumps(shown))
        return
    click.echo(f"  user               {created.user_arn}")
    click.echo(f"  access key id      {created.access_key_id}")
    if not chosen:
        click.echo(f"  secret access key  {created.secret_access_key}   (shown once; keep it now)")
