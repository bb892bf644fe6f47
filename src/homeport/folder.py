"""The data folder: how it is made, and how commands open it. Knows nothing of the server."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from homeport import config
from homeport.access.principals import Principals
from homeport.access.sealing import MasterKeyError, Sealer, create_master_key, load_master_key
from homeport.blobs.faulty import FaultyBlobStore
from homeport.blobs.files import FileBlobStore
from homeport.blobs.port import BlobStore
from homeport.blobs.s3_place import S3Place
from homeport.blobs.tiers import TieredBlobStore
from homeport.config import Settings
from homeport.database.engine import Database
from homeport.database.migrate import migrate_sqlite
from homeport.database.sqlite import SqliteDatabase
from homeport.iam import accounts, keys, keys_store
from homeport.iam.model import NewKey
from homeport.kernel.clock import SystemClock
from homeport.kernel.errors import InvalidInput
from homeport.kernel.names import AccountId
from homeport.kernel.names import Region as RegionName
from homeport.repositories import store as repositories

_KEY_FILE = "master.key"
DATABASE_FILE = "homeport.db"


def is_initialised(data: Path) -> bool:
    """Whether `data` holds a registry. The settings file is written last, so a broken first start is repeated."""
    return (data / config.FILE).exists()


async def initialise(settings: Settings) -> tuple[Settings, NewKey]:
    """Make the data folder: keys, database, account and administrator. Return the settings and the first key.

    Errors: InvalidInput when the account or the region is not a legal one; then nothing was made.
    """
    account = AccountId(settings.account or f"{secrets.randbelow(9 * 10**11) + 10**11}")
    RegionName(settings.region)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (settings.data / _KEY_FILE).exists():
        create_master_key(settings.data / _KEY_FILE)
    await migrate(settings)
    settings = settings.model_copy(update={"account": account})
    now = SystemClock().now()
    async with Folder(settings) as folder:
        await _must_be_new(folder)
        if account in [known for known, _ in await accounts.listing(folder.db)]:
            # An earlier first start died before it could show its key.
            for key in await keys_store.of(folder.db, account, accounts.ADMINISTRATOR):
                await keys.delete(folder.db, account, accounts.ADMINISTRATOR, key.id)
            created = await keys.create(folder.db, folder.sealer, account, accounts.ADMINISTRATOR, now)
        else:
            created = await accounts.create(folder.db, folder.sealer, account, "default", now)
    config.write(settings)
    return settings, created


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """What the command line works on: the metadata of a data folder and its seal."""

    db: Database
    sealer: Sealer


@dataclass
class Folder:
    """A data folder, for the command line: an asynchronous context manager."""

    settings: Settings

    async def __aenter__(self) -> OpenFolder:
        await prepare(self.settings)
        self._db = open_database(self.settings)
        return OpenFolder(self._db, sealer(self.settings.data))

    async def __aexit__(self, *_: object) -> None:
        await self._db.close()


def blob_store(settings: Settings) -> BlobStore:
    """Return the place of the bytes that the settings name. Errors: Unavailable, StorageFull."""
    if settings.storage is not None:
        blobs = _object_store(settings, settings.storage)
        if settings.archive_storage is not None:
            blobs = TieredBlobStore(blobs, _object_store(settings, settings.archive_storage))
    else:
        archive = settings.archive or settings.data / "archive"
        blobs = TieredBlobStore(FileBlobStore(settings.data / "blobs"), FileBlobStore(archive))
    return FaultyBlobStore.from_text(blobs, settings.blob_faults) if settings.blob_faults else blobs


def _object_store(settings: Settings, url: str) -> BlobStore:
    from homeport.blobs.s3 import S3BlobStore  # only where it is used: a start takes no longer

    place = S3Place.from_url(url)
    return S3BlobStore(place, settings.storage_access_key_id, settings.storage_secret_access_key)


def sealer(data: Path) -> Sealer:
    """Return the sealer of a data folder. Errors: MasterKeyError."""
    return Sealer(load_master_key(data / _KEY_FILE))


def open_database(settings: Settings) -> Database:
    """Return the metadata store that the settings name. Errors: Unavailable."""
    if settings.database is None:
        return SqliteDatabase(settings.data / DATABASE_FILE)
    from homeport.database.postgres import PostgresDatabase  # only where it is used: a start takes no longer

    return PostgresDatabase(settings.database, connections=settings.database_connections)


async def migrate(settings: Settings) -> str | None:
    """Bring the database to this program's schema; return the one it had. Errors: Unavailable."""
    if settings.database is None:
        return migrate_sqlite(settings.data / DATABASE_FILE)
    from homeport.database.migrate_postgres import migrate_postgres

    return await migrate_postgres(settings.database)


async def prepare(settings: Settings) -> None:
    """Return when the database has this program's schema and this node may use it.

    That in the data folder belongs to this node alone and is migrated; one that nodes share is migrated only by a
    command, or where a setting says so. Errors: Unavailable, MasterKeyError.
    """
    if settings.database is None or settings.migrate:
        await migrate(settings)
    else:
        from homeport.database.migrate_postgres import require_current

        await require_current(settings.database)
    if settings.database is not None:
        db = open_database(settings)
        try:
            if not await Principals(db, sealer(settings.data)).are_sealed_by_us():
                raise MasterKeyError(
                    f"{settings.data / _KEY_FILE} is not the key of the registry in this database. Copy the file from "
                    "another node."
                )
        finally:
            await db.close()


async def _must_be_new(folder: OpenFolder) -> None:
    """Return when no node uses the database yet. Errors: InvalidInput."""
    if await repositories.any_of(folder.db):
        raise InvalidInput(
            "The database holds a registry already. To add a node, copy master.key and homeport.toml of another node "
            "into its data folder."
        )
