"""The data folder: how it is made, and how commands open it. Knows nothing of the server."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from homeport import config
from homeport.access.sealing import Sealer, create_master_key, load_master_key
from homeport.config import Settings
from homeport.database.engine import Database
from homeport.database.migrate import migrate_sqlite
from homeport.database.sqlite import SqliteDatabase
from homeport.iam import accounts, keys, keys_store
from homeport.iam.model import NewKey
from homeport.kernel.clock import SystemClock
from homeport.kernel.names import AccountId
from homeport.kernel.names import Region as RegionName

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
    migrate_sqlite(settings.data / DATABASE_FILE)
    settings = settings.model_copy(update={"account": account})
    now = SystemClock().now()
    async with Folder(settings) as folder:
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
        data = self.settings.data
        migrate_sqlite(data / DATABASE_FILE)
        self._db = SqliteDatabase(data / DATABASE_FILE)
        return OpenFolder(self._db, sealer(data))

    async def __aexit__(self, *_: object) -> None:
        await self._db.close()


def sealer(data: Path) -> Sealer:
    """Return the sealer of a data folder. Errors: MasterKeyError."""
    return Sealer(load_master_key(data / _KEY_FILE))


def migrate(settings: Settings) -> None:
    """Bring the data folder's database to this program's schema."""
    migrate_sqlite(settings.data / DATABASE_FILE)
