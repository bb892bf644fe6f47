"""Composition root: settings become adapters, adapters a region. The only file that sees every adapter."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from homeport import config
from homeport.access.authenticate import Authenticator
from homeport.access.keysets import KeySets
from homeport.access.principals import Principals
from homeport.access.rates import Rates, rates_from_text
from homeport.access.sealing import Sealer, create_master_key, load_master_key
from homeport.access.sessions import Sessions
from homeport.access.tokens import AuthorizationTokens, DownloadTokens, PageTokens, SessionTokens
from homeport.access.webidentity import WebIdentities
from homeport.blobs.faulty import FaultyBlobStore
from homeport.blobs.files import FileBlobStore
from homeport.blobs.port import BlobStore
from homeport.blobs.tiers import TieredBlobStore
from homeport.config import Settings
from homeport.database.engine import Database
from homeport.database.faulty import FaultyDatabase
from homeport.database.migrate import migrate_sqlite
from homeport.database.sqlite import SqliteDatabase
from homeport.iam import accounts, keys, keys_store
from homeport.iam.model import NewKey
from homeport.images.headroom import Headroom
from homeport.images.pulls import PullLog
from homeport.kernel.clock import SystemClock
from homeport.kernel.hosts import Hosts
from homeport.kernel.names import AccountId
from homeport.kernel.names import Region as RegionName
from homeport.outbound.client import Outbound, networks
from homeport.region import Region
from homeport.secrets.service import Secrets
from homeport.uploads.service import Uploads
from homeport.wire.threads import ByteThreads

_KEY_FILE = "master.key"
_DATABASE_FILE = "homeport.db"


class NotInitialised(Exception):
    """The data folder holds no registry yet."""


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
    migrate_sqlite(settings.data / _DATABASE_FILE)
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
        migrate_sqlite(data / _DATABASE_FILE)
        self._db = SqliteDatabase(data / _DATABASE_FILE)
        return OpenFolder(self._db, sealer(data))

    async def __aexit__(self, *_: object) -> None:
        await self._db.close()


def sealer(data: Path) -> Sealer:
    """Return the sealer of a data folder. Errors: MasterKeyError."""
    return Sealer(load_master_key(data / _KEY_FILE))


def migrate(settings: Settings) -> None:
    """Bring the data folder's database to this program's schema."""
    migrate_sqlite(settings.data / _DATABASE_FILE)


def build_region(settings: Settings) -> Region:
    """Open the data folder and put its region together; must run on the event loop's thread."""
    if settings.account is None:
        raise NotInitialised
    account, name = AccountId(settings.account), RegionName(settings.region)
    clock = SystemClock()
    sealing = sealer(settings.data)
    db: Database = SqliteDatabase(settings.data / _DATABASE_FILE)
    if settings.database_faults:
        db = FaultyDatabase.from_text(db, settings.database_faults)
    archive = settings.archive or settings.data / "archive"
    blobs: BlobStore = TieredBlobStore(FileBlobStore(settings.data / "blobs"), FileBlobStore(archive))
    if settings.blob_faults:
        blobs = FaultyBlobStore.from_text(blobs, settings.blob_faults)
    rates = rates_from_text(settings.throttling)
    principals = Principals(db, sealing)
    outbound = Outbound(networks(settings.outbound_allow), settings.outbound_ca_file)
    passwords, sessions = AuthorizationTokens(sealing, name), SessionTokens(sealing)
    public_passwords = AuthorizationTokens(sealing, "public.ecr")  # the dot: no region is called so
    return Region(
        name=name,
        account=account,
        hosts=Hosts(name, account, settings.host_suffixes),
        clock=clock,
        db=db,
        blobs=blobs,
        sealer=sealing,
        principals=principals,
        role_sessions=Sessions(principals, sessions),
        web_identities=WebIdentities(principals, KeySets(outbound)),
        authenticator=Authenticator(principals, passwords, sessions, clock, name),
        passwords=passwords,
        public_passwords=public_passwords,
        public_authenticator=Authenticator(principals, public_passwords, sessions, clock, name),
        sessions=sessions,
        downloads=DownloadTokens(sealing),
        pages=PageTokens(sealing),
        secrets=Secrets(db, sealing, name),
        uploads=Uploads(blobs),
        pulls=PullLog(),
        quotas=settings.quotas,
        room=Headroom(settings.quotas),
        rates=Rates(rates, processes=settings.workers) if rates else None,
        threads=ByteThreads(),
        download_mode=settings.download_mode,
    )
