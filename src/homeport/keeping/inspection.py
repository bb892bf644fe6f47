"""Inspects a registry that may be in use: rows against bytes, bytes against rows, manifests against references.

A request under way changes rows and bytes one after the other, so a first look proves nothing: rows are read before
the bytes, whatever is young is left alone, and what seems wrong is looked at again before it is called so. Memory is
bounded by pages, however large the registry is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice

from homeport.blobs.port import BlobStore, Shard, StoredObject, all_shards
from homeport.database.engine import Database, Transaction
from homeport.keeping import marks, references_store, store, verification
from homeport.keeping.model import Finding, KeptBlob, Kind, Referring, Report, Verdict
from homeport.keeping.rules import Trouble, troubles_of
from homeport.kernel.clock import Clock
from homeport.repositories import store as repositories

YOUNG = timedelta(hours=1)
"""What came so recently may belong to a request under way."""
ORPHANED = timedelta(days=7)
"""After so long nobody will come for bytes that no row knows of."""

_PAGE = 256  # blobs
_AT_ONCE = 4  # threads that read bytes
_IMAGES = 16  # a manifest may have 4 MiB
_TRIES = 3  # looks at a blob whose row changes meanwhile

_PROBLEMS = {
    Verdict.MISSING: "its bytes are missing",
    Verdict.WRONG_SIZE: "its bytes have another length",
    Verdict.WRONG_DIGEST: "its bytes have another digest",
    Verdict.UNREADABLE: "its bytes cannot be read",
}

Progress = Callable[[str, int, int], None]
"""Told what is looked at, how many are done, and of how many."""


def _silent(what: str, done: int, of: int) -> None:
    """No progress is wanted."""


@dataclass(frozen=True, slots=True)
class Options:
    """What an inspection does beyond looking at rows and sizes."""

    digests: bool = False
    """Read all bytes and compare their digests."""
    repair: bool = False
    """Mark what is damaged, set orphans aside, make links anew."""
    orphan_age: timedelta = ORPHANED


class Inspection:
    """One inspection of a registry."""

    def __init__(
        self,
        db: Database,
        blobs: BlobStore,
        clock: Clock,
        options: Options | None = None,
        progress: Progress = _silent,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._options = options if options is not None else Options()
        self._progress = progress
        self._stop = threading.Event()
        self.report = Report()

    async def run(self) -> Report:
        """Inspect everything and return the report. Errors: Unavailable, StorageFull."""
        try:
            await self._inspect_blobs()
            await self._inspect_objects()
            await self._inspect_images(deleted=False)
            await self._inspect_images(deleted=True)
        finally:
            self._stop.set()
        self.report.quarantined, self.report.quarantined_bytes = await store.aside(self._db)
        return self.report

    # --- Rows against bytes ---

    async def _inspect_blobs(self) -> None:
        report, after = self.report, ""
        total, _ = await store.totals(self._db)
        while page := await store.blobs(self._db, after, _PAGE):
            verdicts = await self._verdicts(page)
            for blob, verdict in zip(page, verdicts, strict=True):
                await self._judge(blob, verdict)
            after = page[-1].digest
            if self._options.digests:
                read = (Verdict.WHOLE, Verdict.WRONG_DIGEST)
                report.hashed_bytes += sum(
                    blob.size for blob, verdict in zip(page, verdicts, strict=True) if verdict in read
                )
            report.blobs += len(page)
            report.blob_bytes += sum(blob.size for blob in page)
            self._progress("blobs", report.blobs, total)

    async def _verdicts(self, page: Sequence[KeptBlob]) -> list[Verdict]:
        loop = asyncio.get_running_loop()
        shares = [page[number::_AT_ONCE] for number in range(_AT_ONCE)]
        looked = await asyncio.gather(*(loop.run_in_executor(None, self._look, share) for share in shares))
        found = dict(each for share in looked for each in share)
        return [found[blob.digest] for blob in page]

    def _look(self, share: Sequence[KeptBlob]) -> list[tuple[str, Verdict]]:
        return [(blob.digest, self._verdict(blob)) for blob in share]

    def _verdict(self, blob: KeptBlob) -> Verdict:
        if not self._options.digests:
            return verification.look(self._blobs, blob, self._stop)
        return verification.read_all(self._blobs, blob, self._stop)

    async def _judge(self, blob: KeptBlob, verdict: Verdict) -> None:
        for _ in range(_TRIES):
            if verdict is Verdict.WHOLE:
                break
            again = await store.find(self._db, blob.digest)
            if again is None:
                return  # deleted meanwhile
            if again.storage_key == blob.storage_key:
                break
            blob = again  # moved, or pushed again
            verdict = await asyncio.get_running_loop().run_in_executor(None, self._verdict, blob)
        if verdict is Verdict.WHOLE and (not self._options.digests or not self._options.repair):
            if blob.damaged:
                self.report.add(Finding(Kind.BYTES, blob.digest, "it is marked as damaged; push it again"))
            return
        marked = False
        if self._options.repair:

            async def work(tx: Transaction) -> bool:
                return await marks.write_down(tx, blob, verdict, self._clock.now())

            marked = await self._db.write(work)
            marks.tell(blob, verdict, marked=marked)
        if verdict is not Verdict.WHOLE:
            repaired = "marked, so that clients push it again" if marked else ""
            self.report.add(Finding(Kind.BYTES, blob.digest, _PROBLEMS[verdict], repaired))
        elif blob.damaged:
            done = "its bytes are whole: the mark was removed"
            self.report.add(Finding(Kind.BYTES, blob.digest, "it was marked as damaged", done))

    # --- Bytes against rows ---

    async def _inspect_objects(self) -> None:
        for number, shard in enumerate(all_shards()):
            await self._inspect_shard(shard)
            self._progress("objects", number + 1, 512)

    async def _inspect_shard(self, shard: Shard) -> None:
        loop = asyncio.get_running_loop()
        listed = await loop.run_in_executor(None, self._blobs.listed, shard)
        take = partial(_take, listed, store.KEYS_AT_ONCE)
        while page := await loop.run_in_executor(None, take):
            self.report.objects += len(page)
            now = self._clock.now()
            old = {each.key: each for each in page if now - each.changed_at >= YOUNG}
            # An object that is listed twice is judged once, in the state that was listed last.
            for key in await store.unknown(self._db, list(old)):
                await self._judge_orphan(old[key])

    async def _judge_orphan(self, found: StoredObject) -> None:
        now = self._clock.now()
        if now - found.changed_at < self._options.orphan_age:
            self.report.young_orphans += 1
            return
        repaired = ""
        if self._options.repair:

            async def work(tx: Transaction) -> bool:
                lost = await store.unknown(tx, [found.key]) == [found.key]
                if lost:
                    await store.set_aside(tx, found.key, found.size, now)
                return lost

            if not await self._db.write(work):
                return
            repaired = "set aside; `homeport fsck --purge-quarantine DAYS` deletes it"
        problem = f"no row knows of these {found.size} bytes"
        self.report.add(Finding(Kind.ORPHAN, str(found.key), problem, repaired))

    # --- Manifests against references ---

    async def _inspect_images(self, *, deleted: bool) -> None:
        done, after = 0, 0
        total = await references_store.count(self._db, deleted=deleted)
        while page := await references_store.images(self._db, after, _IMAGES, deleted=deleted):
            for image in page:
                if troubles_of(image, deleted=deleted):
                    await self._confirm(image.id, deleted=deleted)
            after, done = page[-1].id, done + len(page)
            self._progress("deleted images" if deleted else "images", done, total)
        self.report.images += done

    async def _confirm(self, image_id: int, *, deleted: bool) -> None:
        """Look again at an image, now as of one moment, and repair what can be."""
        repair = self._options.repair

        async def work(tx: Transaction) -> tuple[str, list[tuple[Trouble, str]]] | None:
            page = await references_store.images(tx, image_id - 1, 1, deleted=deleted)
            if not page or page[0].id != image_id:
                return None
            image = page[0]
            repository = await repositories.by_id(tx, image.repository_id)
            if repository is None:  # it is being deleted
                return None
            judged = []
            for trouble in troubles_of(image, deleted=deleted):
                done = await self._mend(tx, image, trouble, deleted=deleted) if repair else ""
                judged.append((trouble, done))
            of = "deleted image " if deleted else ""
            return f"{of}{repository.account}/{repository.name}@{image.digest}", judged

        judged = await self._db.write(work)
        if judged is not None:
            subject, troubles = judged
            for trouble, done in troubles:
                self.report.add(Finding(trouble.kind, subject, trouble.problem, done))

    async def _mend(self, tx: Transaction, image: Referring, trouble: Trouble, *, deleted: bool) -> str:
        item = trouble.unlinked
        if item is None or await store.find(tx, item.digest) is None:
            return ""
        await references_store.link(tx, image.repository_id, item.digest, self._clock.now())
        await references_store.refer(tx, image, item.digest, item.media_type, deleted=deleted)
        return "linked and referred to again"


def _take(listed: Iterator[StoredObject], count: int) -> list[StoredObject]:
    return list(islice(listed, count))
