"""Composition root: settings become adapters, adapters a region. The only file that sees every adapter."""

from __future__ import annotations

from datetime import timedelta

from homeport import folder
from homeport.access.attempts import Attempts, brake_from_text
from homeport.access.authenticate import Authenticator
from homeport.access.keysets import KeySets
from homeport.access.principals import Principals
from homeport.access.rates import Rates, rates_from_text
from homeport.access.sessions import Sessions
from homeport.access.tokens import AuthorizationTokens, DownloadTokens, PageTokens, SessionTokens
from homeport.access.webidentity import WebIdentities
from homeport.config import Settings
from homeport.images.headroom import SEVERAL_WRITERS, Headroom
from homeport.images.pulls import PullLog
from homeport.keeping.scrub import Pace
from homeport.kernel.clock import LaterClock
from homeport.kernel.hosts import Hosts
from homeport.kernel.names import AccountId
from homeport.kernel.names import Region as RegionName
from homeport.outbound.addresses import networks
from homeport.outbound.client import Outbound
from homeport.region import Region
from homeport.secrets.service import Secrets
from homeport.uploads.service import Uploads
from homeport.wire.threads import ByteThreads


class NotInitialised(Exception):
    """The data folder holds no registry yet."""


def build_region(settings: Settings) -> Region:
    """Open the data folder and put its region together; must run on the event loop's thread."""
    if settings.account is None:
        raise NotInitialised
    account, name = AccountId(settings.account), RegionName(settings.region)
    sealing = folder.sealer(settings.data)
    db = folder.open_database(settings)
    clock = folder.clock(settings, db)
    blobs = folder.blob_store(settings)
    rates = rates_from_text(settings.throttling)
    processes = settings.workers * settings.nodes  # what is counted in each is an equal share
    principals = Principals(db, sealing)
    outbound = Outbound(networks(settings.outbound_allow), settings.outbound_ca_file)
    passwords, sessions = AuthorizationTokens(sealing, name), SessionTokens(sealing)
    public_passwords = AuthorizationTokens(sealing, "public.ecr")  # the dot: no region is called so
    return Region(
        name=name,
        account=account,
        hosts=Hosts(name, account, settings.host_suffixes),
        clock=clock,
        lifecycle_clock=LaterClock(clock, timedelta(seconds=settings.lifecycle_clock_offset)),
        lifecycle_interval=timedelta(seconds=settings.lifecycle_interval) or None,
        collection_delay=timedelta(seconds=settings.collection_delay),
        collection_interval=timedelta(seconds=settings.collection_interval) or None,
        job_lease=timedelta(seconds=settings.job_lease),
        scrub_pace=Pace(timedelta(days=settings.scrub_days), settings.scrub_rate)
        if settings.scrub_days
        else None,
        storage_price=settings.storage_price,
        db=db,
        blobs=blobs,
        sealer=sealing,
        principals=principals,
        role_sessions=Sessions(principals, sessions),
        web_identities=WebIdentities(principals, KeySets(outbound)),
        authenticator=Authenticator(principals, passwords, sessions, clock, name),
        attempts=Attempts(brake_from_text(settings.authentication_throttling), processes=processes),
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
        room=Headroom(settings.quotas, SEVERAL_WRITERS if settings.database else 0),
        rates=Rates(rates, processes=processes) if rates else None,
        threads=ByteThreads(),
        download_mode=settings.download_mode,
    )
