"""What one region is made of. `app.py` puts it together; fronts and workers are given it and make nothing."""

from __future__ import annotations

from dataclasses import dataclass

from homeport.access.authenticate import Authenticator
from homeport.access.identities import Identities
from homeport.access.tokens import AuthorizationTokens, DownloadTokens, PageTokens, SessionTokens
from homeport.blobs.port import BlobStore
from homeport.database.engine import Database
from homeport.images.pulls import PullLog
from homeport.kernel.clock import Clock
from homeport.kernel.hosts import Hosts
from homeport.kernel.names import AccountId
from homeport.kernel.names import Region as RegionName
from homeport.uploads.service import Uploads
from homeport.wire.download import DownloadMode
from homeport.wire.threads import ByteThreads


@dataclass(frozen=True, slots=True)
class Region:
    """One database, one blob store, and everything that reads or writes them."""

    name: RegionName
    account: AccountId
    hosts: Hosts
    clock: Clock
    db: Database
    blobs: BlobStore
    identities: Identities
    authenticator: Authenticator
    passwords: AuthorizationTokens
    sessions: SessionTokens
    downloads: DownloadTokens
    pages: PageTokens
    uploads: Uploads
    pulls: PullLog
    threads: ByteThreads
    download_mode: DownloadMode
