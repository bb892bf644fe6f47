"""`homeport image`: deleted images that can be restored, and tags that nothing deletes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click

from homeport.cli.options import account_option, data_option, explained, json_option, settings, with_folder
from homeport.database.engine import Database
from homeport.folder import OpenFolder
from homeport.images import pins as image_pins
from homeport.images import recycle, store
from homeport.images.headroom import Headroom
from homeport.images.model import DeletedImage, Image, PinnedTag
from homeport.kernel import limits
from homeport.kernel.clock import LaterClock, SystemClock
from homeport.repositories import service as repositories
from homeport.repositories.model import Repository

Result = TypeVar("Result")

_NEWEST = 2**62  # an id above every real one
_OPERATOR = "command line"  # who pins here: whoever may open the data folder, with no ARN


def _public_option(command: Callable[..., Result]) -> Callable[..., Result]:
    return click.option("--public", is_flag=True, help="REPOSITORY is one of the account's public registry.")(
        command
    )


def _within(
    data: Path | None,
    account: str | None,
    name: str,
    public: bool,
    work: Callable[[Database, Repository], Awaitable[Result]],
) -> Result:
    """Run `work` on a repository of an initialised folder."""

    async def run(folder: OpenFolder, chosen: str) -> Result:
        return await work(folder.db, await repositories.get(folder.db, chosen, name, public=public))

    return with_folder(data, account, run)


def _now(data: Path | None) -> datetime:
    """Return the moment by which recovery is judged, as the server judges."""
    offset = timedelta(seconds=settings(data=data).lifecycle_clock_offset)
    return LaterClock(SystemClock(), offset).now()


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


@click.group()
def image() -> None:
    """Restore deleted images, and pin tags that nothing may delete."""


@image.command("deleted")
@click.argument("repository")
@_public_option
@account_option
@data_option
@json_option
@explained
def deleted(repository: str, public: bool, account: str | None, data: Path | None, as_json: bool) -> None:
    """List the images that were deleted and can be restored, last deleted first."""
    now = _now(data)

    async def work(db: Database, found: Repository) -> list[DeletedImage]:
        listed: list[DeletedImage] = []
        while page := await recycle.deleted(
            db, now, found, listed[-1].id if listed else _NEWEST, limits.PAGE_MAX
        ):
            listed.extend(page)
        return listed

    listed = _within(data, account, repository, public, work)
    if as_json:
        click.echo(
            json.dumps(
                [
                    {
                        "imageDigest": each.digest,
                        "imageTags": list(each.tags),
                        "imageManifestMediaType": each.media_type,
                        "imageSizeInBytes": each.size,
                        "imagePushedAt": each.pushed_at.isoformat(),
                        "deletedAt": each.deleted_at.isoformat(),
                        "deletedBy": each.deleted_by,
                        "recoverableUntil": each.recoverable_until.isoformat(),
                    }
                    for each in listed
                ]
            )
        )
        return
    for each in listed:
        click.echo(f"{each.digest}  {', '.join(each.tags) or '(untagged)'}  {each.size} bytes")
        click.echo(f"  deleted {_moment(each.deleted_at)} by {each.deleted_by}")
        click.echo(f"  can be restored until {_moment(each.recoverable_until)}")


@image.command("restore")
@click.argument("repository")
@click.argument("digest")
@click.option(
    "--tag", "tags", multiple=True, help="Tag to give the image; again for more [default: its former tags]."
)
@_public_option
@account_option
@data_option
@json_option
@explained
def restore(
    repository: str,
    digest: str,
    tags: tuple[str, ...],
    public: bool,
    account: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Bring a deleted image back, with what it needs and what went with it.

    Former tags that another image has by now stay where they are.
    """
    now, room = _now(data), Headroom(settings(data=data).quotas)

    async def work(db: Database, found: Repository) -> tuple[Image, list[str], list[str]]:
        before = await recycle.find(db, now, found, digest)
        back = await recycle.restore(db, now, found, digest, tags or None, room)
        has = await store.tags_of(db, back.id)
        wanted = before.tags if before is not None and not tags else ()
        return back, has, [tag for tag in wanted if tag not in has]

    back, has, elsewhere = _within(data, account, repository, public, work)
    if as_json:
        click.echo(json.dumps({"imageDigest": back.digest, "imageTags": has, "tagsInUse": elsewhere}))
        return
    click.echo(f"restored {back.digest}  {', '.join(has) or '(untagged)'}")
    if elsewhere:
        click.echo(f"  other images have its former tags: {', '.join(elsewhere)}")


@image.command("pin")
@click.argument("repository")
@click.argument("tag")
@_public_option
@account_option
@data_option
@explained
def pin(repository: str, tag: str, public: bool, account: str | None, data: Path | None) -> None:
    """Protect a tag and whichever image it names: no policy and no user can delete them."""

    async def work(db: Database, found: Repository) -> None:
        await image_pins.pin(db, SystemClock().now(), found, tag, _OPERATOR)

    _within(data, account, repository, public, work)


@image.command("unpin")
@click.argument("repository")
@click.argument("tag")
@_public_option
@account_option
@data_option
@explained
def unpin(repository: str, tag: str, public: bool, account: str | None, data: Path | None) -> None:
    """Protect a tag no more."""

    async def work(db: Database, found: Repository) -> None:
        await image_pins.unpin(db, found, tag)

    _within(data, account, repository, public, work)


@image.command("pins")
@click.argument("repository")
@_public_option
@account_option
@data_option
@json_option
@explained
def pins(repository: str, public: bool, account: str | None, data: Path | None, as_json: bool) -> None:
    """List the pinned tags."""

    async def work(db: Database, found: Repository) -> list[PinnedTag]:
        return await image_pins.pinned(db, found.id, "", limits.PINNED_TAGS)

    listed = _within(data, account, repository, public, work)
    if as_json:
        shown = [
            {
                "imageTag": each.tag,
                "imageDigest": each.digest,
                "pinnedAt": each.pinned_at.isoformat(),
                "pinnedBy": each.pinned_by,
            }
            for each in listed
        ]
        click.echo(json.dumps(shown))
        return
    for each in listed:
        click.echo(f"{each.tag}  {each.digest}  since {_moment(each.pinned_at)} by {each.pinned_by}")
