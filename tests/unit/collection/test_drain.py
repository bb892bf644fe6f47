"""A large repository is gone at once when it is deleted, and its rows go in small steps."""

from __future__ import annotations

import pytest

from homeport.collection import drain
from homeport.database import tables
from homeport.images import service as images
from homeport.kernel.errors import RepositoryNotFound
from homeport.kernel.names import Tag
from homeport.repositories import service as repositories
from homeport.repositories import store
from homeport.uploads import service as uploads
from tests.unit.collection.space import assert_sound, collect, delete_repository, find
from tests.unit.repositories.registry import ACCOUNT, Registry, manifest_of

NAME = "team/large"


def fill(registry: Registry) -> int:
    """Make a repository that no single step clears; return its id."""
    repository = registry.repository(NAME)
    registry.blob(repository, b"{}")
    for number in range(drain.ROWS + 1):
        registry.put(repository, manifest_of(b"{}", [], annotations={"n": str(number)}), f"v{number}")
    return repository.id


def test_a_deleted_repository_is_unknown_at_once_and_cleared_later(registry: Registry) -> None:
    number = fill(registry)
    large = registry.run(repositories.get(registry.db, ACCOUNT, NAME))

    delete_repository(registry, large)

    with pytest.raises(RepositoryNotFound):
        registry.run(repositories.get(registry.db, ACCOUNT, NAME))
    assert registry.run(store.by_id(registry.db, number)) is None
    assert registry.run(repositories.page(registry.db, ACCOUNT, "", 10)) == []
    assert len(registry.rows(tables.image)) == 1

    assert collect(registry).repositories == 1
    for table in (tables.repository, tables.image, tables.image_blob, tables.image_tag, tables.blob):
        assert registry.rows(table) == []
    assert_sound(registry)


def test_a_new_repository_of_the_same_name_shares_nothing_with_the_one_that_is_being_cleared(
    registry: Registry,
) -> None:
    fill(registry)
    old = registry.run(repositories.get(registry.db, ACCOUNT, NAME))
    upload = registry.append(registry.start(old), b"late")
    delete_repository(registry, old)

    new = registry.repository(NAME)
    image = registry.image(new, "app", "v1")
    with pytest.raises(RepositoryNotFound):
        registry.run(repositories.get(registry.db, ACCOUNT, f"{NAME}@{old.id}"))
    with pytest.raises(Exception, match="does not exist"):
        registry.run(uploads.find(registry.db, registry.place(new), upload.id))
    collect(registry)

    assert find(registry, new, b"{}") is None
    assert find(registry, new, b"app") is not None
    found = registry.run(images.manifest(registry.db, new, Tag("v1")))
    assert found.digest == image.digest
    assert [row[0] for row in registry.rows(tables.repository)] == [new.id]


def test_a_repository_can_be_made_and_deleted_under_one_name_while_others_are_cleared(
    registry: Registry,
) -> None:
    for _ in range(2):
        fill(registry)
        delete_repository(registry, registry.run(repositories.get(registry.db, ACCOUNT, NAME)))
    assert len(registry.rows(tables.repository)) == 2

    assert collect(registry).repositories == 2
    assert registry.rows(tables.repository) == []
