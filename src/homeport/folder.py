"""The data folder: how it is made, and how commands open it. Knows nothing of the server."""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager, ExitStack, nullcontext
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
from homeport.database.faulty import FaultyDatabase
from homeport.database.migrate import migrate_sqlite
from homeport.database.sqlite import SqliteDatabase
from homeport.iam import accounts, keys, keys_store
from homeport.iam.model import NewKey
from homeport.keeping.use import using
from homeport.kernel.clock import Clock, SystemClock
from homeport.kernel.errors import InvalidInput
from homeport.kernel.names import AccountId
from homeport.kernel.names import Region as RegionName
from homeport.repositories import store as repositories

_KEY_FILE = "master.key"
DATABASE_FILE = "homeport.db"
_HELD = (
    "The database holds a registry already. A node that has its master.key joins it: `homeport join`, or "
    "`homeport serve`."
)


def is_initialised(data: Path) -> bool:
    """Whether `data` holds a registry. The settings file is written last, so a broken first start is repeated."""
    return (data / config.FILE).exists()


async def initialise(settings: Settings) -> tuple[Settings, NewKey]:
    """Make the data folder: keys, database, account and administrator. Return the settings and the first key.

    Errors: InvalidInput when the account or the region is not a legal one; then nothing was made.
    """
    account = AccountId(settings.account or _new_account())
    RegionName(settings.region)
    if settings.database is not None:
        made, first = await _begin_or_join(settings, may_join=False)
        assert first is not None, "it joined, which it may not"
        return made, first
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    _bring_key(settings)
    await migrate(settings)
    settings = settings.model_copy(update={"account": account})
    now, chosen = SystemClock().now(), _chosen(settings)
    async with Folder(settings) as folder:
        await _must_be_new(folder)
        if account in [known for known, _ in await accounts.listing(folder.db)]:
            # An earlier first start died before it could show its key.
            for key in await keys_store.of(folder.db, account, accounts.ADMINISTRATOR):
                await keys.delete(folder.db, account, accounts.ADMINISTRATOR, key.id)
            administrator = accounts.ADMINISTRATOR
            created = await keys.create(folder.db, folder.sealer, account, administrator, now, chosen)
        else:
            created = await accounts.create(folder.db, folder.sealer, account, "default", now, chosen)
    config.write(settings)
    return settings, created


async def begin_or_join(settings: Settings) -> tuple[Settings, NewKey | None]:
    """Make the data folder of a node whose metadata is in a shared database, and the registry when there is none yet.

    Of several nodes that begin at once with one master key, exactly one makes the registry; it alone is returned the
    administrator's first key, the others None. A key that dies with its node before anybody saw it is replaced by
    `homeport key create administrator`.

    Errors: InvalidInput, Unavailable, MasterKeyError; then this folder holds nothing new.
    """
    return await _begin_or_join(settings, may_join=True)


async def join(settings: Settings) -> Settings:
    """`begin_or_join` for a registry that is there. Errors: those, and InvalidInput when the database holds none."""
    if settings.database is None:
        raise InvalidInput(
            "Only a registry whose metadata is in PostgreSQL has several nodes: see --database."
        )
    if not (settings.data / _KEY_FILE).exists() and settings.master_key_file is None:
        raise MasterKeyError(f"Copy the master key of another node to {settings.data / _KEY_FILE} first.")
    from homeport.database.migrate_postgres import require_current

    await require_current(settings.database)
    db = open_database(settings)
    try:
        if await accounts.oldest(db) is None:
            raise InvalidInput(
                "The database holds no registry yet. `homeport serve` or `homeport init` makes one."
            )
    finally:
        await db.close()
    made, _ = await begin_or_join(settings)
    return made


async def _begin_or_join(settings: Settings, *, may_join: bool) -> tuple[Settings, NewKey | None]:
    account = AccountId(settings.account) if settings.account else None
    RegionName(settings.region)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    chosen = _chosen(settings)
    brought, sealed = _bring_key(settings), False
    try:
        from homeport.database.migrate_postgres import revision

        if await revision(str(settings.database)) is None:
            await migrate(settings)  # nobody uses it yet; nodes that try at once do it once
        await prepare(settings)
        db = open_database(settings)
        try:
            first = account or AccountId(_new_account())
            seal, now = sealer(settings.data), SystemClock().now()
            sealed = True  # perhaps: then our key must stay, whatever happens next
            created = await accounts.create_first(db, seal, first, now, chosen)
            if created is not None:
                account = first
            else:
                sealed = False
                if not may_join:
                    raise InvalidInput(_HELD)
                await _require_seal(settings, db)  # another node's key may have come first
                account = account or await accounts.oldest(db)
                await accounts.must_exist(db, str(account))
        finally:
            await db.close()
    except BaseException:
        if brought and not sealed:
            (settings.data / _KEY_FILE).unlink()
        raise
    settings = settings.model_copy(update={"account": account})
    config.write(settings)
    return settings, created


def _new_account() -> str:
    return f"{secrets.randbelow(9 * 10**11) + 10**11}"


def _chosen(settings: Settings) -> tuple[str, str] | None:
    """Return id and secret that the operator chose for the first key. Errors: InvalidInput."""
    key_id, secret = settings.administrator_access_key_id, settings.administrator_secret_access_key
    if (key_id is None) != (secret is None):
        raise InvalidInput("administrator_access_key_id and administrator_secret_access_key go together.")
    return None if key_id is None or secret is None else (key_id, secret)


def _bring_key(settings: Settings) -> bool:
    """See that the data folder has its master key; whether it had none before. Errors: MasterKeyError."""
    here = settings.data / _KEY_FILE
    if here.exists():
        _same_key(settings)
        return False
    named = settings.master_key_file
    create_master_key(here, None if named is None else load_master_key(named, for_group=True))
    return True


def _same_key(settings: Settings) -> None:
    """Return unless the settings name another master key than the folder has. Errors: MasterKeyError."""
    named = settings.master_key_file
    if named is None:
        return
    here = settings.data / _KEY_FILE
    if load_master_key(named, for_group=True) != load_master_key(here):
        raise MasterKeyError(f"{named} holds another master key than {here}. Remove the one that is wrong.")


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
        with ExitStack() as use:
            use.enter_context(in_use(self.settings))
            await prepare(self.settings)
            self._db = open_database(self.settings)
            opened = OpenFolder(self._db, sealer(self.settings.data))
            self._use = use.pop_all()
        return opened

    async def __aexit__(self, *_: object) -> None:
        with self._use:
            await self._db.close()


def in_use(settings: Settings) -> AbstractContextManager[None]:
    """Use what the data folder keeps in the block, beside others. Errors: Unavailable while it is being moved."""
    if settings.database is not None and settings.storage is not None:
        return nullcontext()  # then it keeps nothing
    return using(settings.data)


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
    db = _open_database(settings)
    return FaultyDatabase.from_text(db, settings.database_faults) if settings.database_faults else db


def _open_database(settings: Settings) -> Database:
    if settings.database is None:
        return SqliteDatabase(settings.data / DATABASE_FILE)
    from homeport.database.postgres import PostgresDatabase  # only where it is used: a start takes no longer

    return PostgresDatabase(settings.database, connections=settings.database_connections)


def clock(settings: Settings, db: Database) -> Clock:
    """Return the clock that decides for everybody who uses `db`: where nodes share it, that of its server."""
    if settings.database is None:
        return SystemClock()
    from homeport.database.clock import DatabaseClock

    return DatabaseClock(db, SystemClock())


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
    _same_key(settings)
    if settings.database is None or settings.migrate:
        await migrate(settings)
    else:
        from homeport.database.migrate_postgres import require_current

        await require_current(settings.database)
    if settings.database is not None:
        db = open_database(settings)
        try:
            await _require_seal(settings, db)
        finally:
            await db.close()


async def _require_seal(settings: Settings, db: Database) -> None:
    """Return when this node has the key of the registry in its database. Errors: MasterKeyError."""
    if not await Principals(db, sealer(settings.data)).are_sealed_by_us():
        raise MasterKeyError(
            f"{settings.data / _KEY_FILE} is not the key of the registry in this database. Copy the file from "
            "another node."
        )


async def _must_be_new(folder: OpenFolder) -> None:
    """Return when nobody uses the database yet. Errors: InvalidInput."""
    if await repositories.any_of(folder.db):
        raise InvalidInput(_HELD)
