"""Whatever happens in whatever order: exactly what may go goes, and an image that is there has all its bytes."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from homeport.database import tables
from homeport.images import recycle
from homeport.images import service as images
from homeport.images.model import Image
from homeport.kernel.clock import to_micros
from homeport.kernel.digests import Digest, digest_of
from homeport.kernel.errors import ImageNotFound, LayersNotFound
from homeport.repositories.model import Repository
from homeport.uploads import service as uploads
from tests.unit.collection.space import (
    DELAY,
    assert_sound,
    collect,
    delete_bytes,
    delete_image,
    delete_repository,
    head,
    links,
    purge,
)
from tests.unit.repositories.registry import Registry, manifest_of

BLOBS = [f"blob {number}".encode() for number in range(4)]
IMAGES = [(0, (1,)), (0, (1, 2)), (3, (2,))]  # configuration and layers
NAMES = ["team/one", "team/two"]
KEEP = timedelta(days=3)

names, blobs, contents = st.sampled_from(NAMES), st.sampled_from(range(4)), st.sampled_from(range(3))


def blobs_of(content: int) -> set[int]:
    config, layers = IMAGES[content]
    return {config, *layers}


def body_of(content: int) -> bytes:
    config, layers = IMAGES[content]
    return manifest_of(BLOBS[config], [BLOBS[layer] for layer in layers])


class Collecting(RuleBasedStateMachine):
    """A registry beside a model of it: since when each link is in doubt, and which images need which blobs."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.registry = Registry(Path(self.folder.name), self.runner)
        self.repositories: dict[str, Repository] = {}
        self.linked: dict[tuple[str, int], datetime | None] = {}
        self.there: dict[tuple[str, int], Image] = {}
        self.bin: dict[tuple[str, int], datetime] = {}

    @property
    def now(self) -> datetime:
        return self.registry.clock.now()

    def needs(self, name: str, blob: int) -> bool:
        held = [*self.there, *self.bin]
        return any(where == name and blob in blobs_of(content) for where, content in held)

    def doubt(self, name: str, content: int) -> None:
        for blob in blobs_of(content):
            if (name, blob) in self.linked:
                self.linked[name, blob] = self.now

    @initialize()
    def begin(self) -> None:
        for name in NAMES:
            self.repositories[name] = self.registry.repository(name)
        self.push_image(NAMES[0], 0)
        self.push_image(NAMES[1], 1)

    @rule(name=names, content=contents)
    def push_image(self, name: str, content: int) -> None:
        for blob in sorted(blobs_of(content)):
            self.push_blob(name, blob)
        self.push_manifest(name, content)
        assert (name, content) in self.there

    @rule(name=names, blob=blobs)
    def push_blob(self, name: str, blob: int) -> None:
        self.registry.blob(self.repositories[name], BLOBS[blob])
        self.linked[name, blob] = self.now

    @rule(name=names, source=names, blob=blobs)
    def mount(self, name: str, source: str, blob: int) -> None:
        to, from_ = self.repositories[name], self.repositories[source]
        mounting = uploads.mount(self.registry.db, self.now, to, from_, digest_of(BLOBS[blob]))
        found = self.registry.run(mounting)

        assert (found is not None) == ((source, blob) in self.linked)
        if found is not None:
            self.linked[name, blob] = self.now

    @rule(name=names, blob=blobs)
    def ask(self, name: str, blob: int) -> None:
        found = head(self.registry, self.repositories[name], BLOBS[blob])

        assert (found is not None) == ((name, blob) in self.linked)
        since = self.linked.get((name, blob))
        if since is not None and self.now - since >= DELAY / 2:
            self.linked[name, blob] = self.now

    @rule(name=names, content=contents)
    def push_manifest(self, name: str, content: int) -> None:
        complete = all((name, blob) in self.linked for blob in blobs_of(content))
        try:
            self.there[name, content] = self.registry.put(self.repositories[name], body_of(content))
        except LayersNotFound:
            assert not complete
        else:
            assert complete or (name, content) in self.there
            self.bin.pop((name, content), None)

    @precondition(lambda self: self.there)
    @rule(data=st.data(), recoverable=st.booleans())
    def delete(self, data: st.DataObject, recoverable: bool) -> None:
        name, content = data.draw(st.sampled_from(sorted(self.there)))
        image = self.there.pop((name, content))
        until = self.now + KEEP if recoverable else None
        if until is None:
            self.doubt(name, content)
        else:
            self.bin[name, content] = until
        delete_image(self.registry, self.repositories[name], image, until)

    @precondition(lambda self: self.bin)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        name, content = data.draw(st.sampled_from(sorted(self.bin)))
        repository, digest = self.repositories[name], digest_of(body_of(content))
        until = self.bin[name, content]
        work = recycle.restore(self.registry.db, self.now, repository, digest, None, self.registry.room)
        try:
            self.there[name, content] = self.registry.run(work)
        except ImageNotFound:
            assert until <= self.now
        else:
            del self.bin[name, content]

    @rule(name=names)
    def delete_and_make_again(self, name: str) -> None:
        delete_repository(self.registry, self.repositories[name])
        self.repositories[name] = self.registry.repository(name)
        for held in (self.linked, self.there, self.bin):
            for key in [key for key in held if key[0] == name]:
                del held[key]

    @rule(hours=st.sampled_from([1, 12, 24, 80]))
    def wait(self, hours: int) -> None:
        self.registry.clock.advance(hours * 3600)

    @rule(hours=st.sampled_from([24, 80]))
    def wait_and_collect(self, hours: int) -> None:
        self.wait(hours)
        self.collect()

    @rule()
    def forget(self) -> None:
        over = [key for key, until in self.bin.items() if until <= self.now]
        assert purge(self.registry) == len(over)
        for key in over:
            del self.bin[key]
            self.doubt(*key)

    @rule()
    def collect(self) -> None:
        gone = 0
        for (name, blob), since in list(self.linked.items()):
            if since is not None and since <= self.now - DELAY:
                if self.needs(name, blob):
                    self.linked[name, blob] = None
                else:
                    del self.linked[name, blob]
                    gone += 1
        assert collect(self.registry).links == gone

    @rule(at_once=st.booleans())
    def delete_bytes(self, at_once: bool) -> None:
        delete_bytes(self.registry, at_once=at_once)

    @invariant()
    def links_are_those_of_the_model(self) -> None:
        ids = {name: repository.id for name, repository in self.repositories.items()}
        assert links(self.registry) == {(ids[name], digest_of(BLOBS[blob])) for name, blob in self.linked}
        assert_sound(self.registry)

    @invariant()
    def whatever_nobody_doubts_is_needed(self) -> None:
        by_digest = {digest_of(data): number for number, data in enumerate(BLOBS)}
        by_id = {repository.id: name for name, repository in self.repositories.items()}
        for row in self.registry.rows(tables.repository_blob):
            name, blob = by_id[row[0]], by_digest[row[1]]
            since = self.linked[name, blob]
            assert row[3] == (to_micros(since) if since is not None else None)
            assert row[3] is not None or self.needs(name, blob)

    @invariant()
    def images_have_all_their_bytes(self) -> None:
        for name, content in self.there:
            repository, digest = self.repositories[name], Digest(digest_of(body_of(content)))
            self.registry.run(images.manifest(self.registry.db, repository, digest))
            for blob in blobs_of(content):
                found = self.registry.run(uploads.blob(self.registry.db, repository, digest_of(BLOBS[blob])))
                assert found is not None
                assert self.registry.content(found) == BLOBS[blob]

    def teardown(self) -> None:
        self.registry.run(self.registry.db.close())
        self.runner.close()
        self.folder.cleanup()


TestCollecting = Collecting.TestCase
TestCollecting.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
