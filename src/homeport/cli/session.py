"""`homeport session`: temporary credentials for a user, for example for a CI job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

import click

from homeport.access.grants import SessionCredentials
from homeport.access.policies import parse_identity_policy
from homeport.access.tokens import SessionTokens
from homeport.cli.options import (
    account_option,
    data_option,
    explained,
    json_option,
    with_folder,
)
from homeport.folder import OpenFolder
from homeport.iam import keys_store, users
from homeport.kernel.clock import SystemClock
from homeport.kernel.errors import NoSuchEntity


@click.command()
@click.argument("user")
@click.option("--seconds", default=3600, show_default=True, help="Lifetime, 900 to 129600.")
@click.option("--policy-file", type=click.File(), help="Session policy that narrows the user's rights.")
@account_option
@data_option
@json_option
@explained
def session(
    user: str,
    seconds: int,
    policy_file: IO[str] | None,
    account: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Print temporary credentials that act as USER, in the form that AWS tools read."""
    policy = policy_file.read() if policy_file is not None else None
    if policy is not None:
        parse_identity_policy(policy)

    async def work(folder: OpenFolder, chosen: str) -> SessionCredentials:
        active = [key.id for key in await keys_store.of(folder.db, chosen, user) if key.active]
        if not active:
            raise NoSuchEntity(f"There is no user {user} with an active access key in account {chosen}.")
        found, now = await users.get(folder.db, chosen, user), SystemClock().now()
        return SessionTokens(folder.sealer).issue(found.arn, chosen, active[0], seconds, now, policy)

    issued = with_folder(data, account, work)
    shown = {
        "Version": 1,
        "AccessKeyId": issued.access_key_id,
        "SecretAccessKey": issued.secret_access_key,
        "SessionToken": issued.session_token,
        "Expiration": issued.expires_at.isoformat(),
    }
    if as_json:
        click.echo(json.dumps(shown))
        return
    click.echo(f"export AWS_ACCESS_KEY_ID={issued.access_key_id}")
    click.echo(f"export AWS_SECRET_ACCESS_KEY={issued.secret_access_key}")
    click.echo(f"export AWS_SESSION_TOKEN={issued.session_token}")
