"""Blobs whose stored bytes are not theirs are marked, so that they are pushed again and never passed on."""

from __future__ import annotations

from datetime import datetime

from homeport.database.engine import Transaction
from homeport.keeping import store
from homeport.keeping.model import KeptBlob, Verdict
from homeport.telemetry import BLOBS_MARKED, log


async def write_down(tx: Transaction, blob: KeptBlob, verdict: Verdict, now: datetime) -> bool:
    """Keep what reading the bytes of `blob` showed; return whether it is a mark that was not there before.

    A mark goes when the bytes turn out to be whole after all: a volume may have been away for a while.
    """
    if verdict is Verdict.WHOLE:
        await store.is_whole(tx, blob, now)
        return False
    return await store.mark(tx, blob, now)


def tell(blob: KeptBlob, verdict: Verdict, *, marked: bool) -> None:
    """Log and count what is worth it. Call it when the transaction is committed."""
    if marked:
        BLOBS_MARKED.labels(verdict.value).inc()
        log.error("blob_marked_damaged", digest=blob.digest, storage_key=blob.storage_key, kind=verdict.value)
    elif blob.damaged and verdict is Verdict.WHOLE:
        log.info("blob_whole_again", digest=blob.digest, storage_key=blob.storage_key)
