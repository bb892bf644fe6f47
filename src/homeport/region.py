"""What one region is made of. `app.py` puts it together; fronts and workers are given it and make nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from homeport.access.attempts import Attempts
from homeport.access.authenticate import Authenticator
from homeport.access.principals import Principals
from homeport.access.rates import Rates
from homeport.access.sealing import Sealer
from homeport.access.sessions import Sessions
from homeport.access.tokens import AuthorizationTokens, DownloadTokens, PageTokens, SessionTokens
from homeport.access.webidentity import WebIdentities
from homeport.blobs.port import BlobStore
from homeport.database.engine import Database
from homeport.images.headroom import Headroom
from homeport.images.pulls import PullLog
from homeport.keeping.scrub import Pace
from homeport.kernel.clock import Clock
from homeport.kernel.hosts import Hosts
from homeport.kernel.limits import Quotas
from homeport.kernel.names import AccountId
from homeport.kernel.names import Region as RegionName
from homeport.secrets.service import Secrets
from homeport.uploads.service import Uploads
from homeport.wire.modes import DownloadMode
from homeport.wire.threads import ByteThreads


@dataclass(frozen=True, slots=True)
class Region:
    """One database, one blob store, and everything that reads or writes them."""

    name: RegionName
    account: AccountId
    hosts: Hosts
    clock: Clock
    lifecycle_clock: Clock
    """By which lifecycle rules and the recovery of images judge; ahead of `clock` only when a setting says so."""
    lifecycle_interval: timedelta | None
    """How often lifecycle policies act by themselves; None when they do not."""
    collection_delay: timedelta
    """How long a blob is kept that no image refers to any more, or yet."""
    collection_interval: timedelta | None
    """How often such blobs are collected; None when that is left to a command."""
    job_lease: timedelta
    """How long the work of a process that died waits for another one."""
    scrub_pace: Pace | None
    """How stored bytes are read again and verified; None when they are not."""
    storage_price: float
    """Dollars for a GB-month, by which savings are told."""
    db: Database
    blobs: BlobStore
    sealer: Sealer
    principals: Principals
    role_sessions: Sessions
    web_identities: WebIdentities
    authenticator: Authenticator
    attempts: Attempts
    passwords: AuthorizationTokens
    public_passwords: AuthorizationTokens
    public_authenticator: Authenticator
    sessions: SessionTokens
    downloads: DownloadTokens
    pages: PageTokens
    secrets: Secrets
    uploads: Uploads
    pulls: PullLog
    quotas: Quotas
    room: Headroom
    rates: Rates | None
    threads: ByteThreads
    download_mode: DownloadMode
