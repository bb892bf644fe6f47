"""Use cases of repositories on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from homeport.database import tables
from homeport.images import store
from homeport.kernel.errors import (
    InvalidParameter,
    InvalidTagParameter,
    RepositoryAlreadyExists,
    RepositoryNotEmpty,
    RepositoryNotFound,
    RepositoryPolicyNotFound,
    TooManyTags,
)
from homeport.kernel.names import RepositoryName
from homeport.repositories import service
from homeport.repositories.model import Settings, TagMutability
from tests.unit.repositories.registry import ACCOUNT, START, Registry, index_of


def test_a_repository_comes_back_as_it_was_created(registry: Registry) -> None:
    settings = Settings(TagMutability.IMMUTABLE_WITH_EXCLUSION, ("dev-*", "latest"), True, "KMS", "alias/key")

    created = registry.repository("a/b", settings)

    assert registry.run(service.get(registry.db, ACCOUNT, "a/b")) == created
    assert (created.account, created.name, created.created_at) == (ACCOUNT, "a/b", START)
    assert (created.settings, created.policy) == (settings, None)
    assert created.arn("eu-west-1") == f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/a/b"


def test_a_name_is_taken_once(registry: Registry) -> None:
    registry.repository("a/b")

    with pytest.raises(RepositoryAlreadyExists):
        registry.repository("a/b")

    assert len(registry.rows(tables.repository)) == 1


def test_of_many_creators_at_once_one_wins(registry: Registry) -> None:
    async def race() -> list[object]:
        name = RepositoryName("a/b")
        attempts = (service.create(registry.db, START, ACCOUNT, name, Settings(), {}) for _ in range(20))
        return list(await asyncio.gather(*attempts, return_exceptions=True))

    outcomes = registry.run(race())

    assert sum(not isinstance(outcome, RepositoryAlreadyExists) for outcome in outcomes) == 1
    assert len(registry.rows(tables.repository)) == 1


def test_a_refused_resource_tag_leaves_no_repository_behind(registry: Registry) -> None:
    name = RepositoryName("a/b")

    with pytest.raises(InvalidTagParameter):
        registry.run(service.create(registry.db, START, ACCOUNT, name, Settings(), {"aws:x": "1"}))

    assert registry.rows(tables.repository) == []


def test_an_absent_repository_is_not_found_by_any_use_case(registry: Registry) -> None:
    db = registry.db
    attempts: list[Callable[[], Coroutine[Any, Any, object]]] = [
        lambda: service.get(db, ACCOUNT, "a/b"),
        lambda: service.delete(db, registry.clock.now(), ACCOUNT, "a/b", force=True),
        lambda: service.set_tag_mutability(db, ACCOUNT, "a/b", TagMutability.MUTABLE, None),
        lambda: service.set_policy(db, ACCOUNT, "a/b", "{}"),
        lambda: service.get_policy(db, ACCOUNT, "a/b"),
        lambda: service.delete_policy(db, ACCOUNT, "a/b"),
        lambda: service.tags(db, ACCOUNT, "a/b"),
        lambda: service.tag(db, ACCOUNT, "a/b", {"k": "v"}),
        lambda: service.untag(db, ACCOUNT, "a/b", ["k"]),
    ]

    for attempt in attempts:
        with pytest.raises(RepositoryNotFound):
            registry.run(attempt())

    assert registry.run(service.find(db, ACCOUNT, "a/b")) is None


def test_repositories_of_another_account_are_out_of_sight(registry: Registry) -> None:
    registry.repository("a/b")

    assert registry.run(service.find(registry.db, "444455556666", "a/b")) is None
    assert registry.run(service.page(registry.db, "444455556666", "", 10)) == []


def test_pages_go_through_all_names_in_order(registry: Registry) -> None:
    names = ["a-b", "a/b", "a.b", "a0", "ab", "b1", "z/9"]
    for name in names:
        registry.repository(name)

    seen: list[str] = []
    while page := registry.run(service.page(registry.db, ACCOUNT, seen[-1] if seen else "", 3)):
        seen += [repository.name for repository in page]

    assert seen == sorted(names)


def test_a_repository_with_images_goes_only_by_force_and_then_with_everything_in_it(
    registry: Registry,
) -> None:
    repository = registry.repository()
    child = registry.image(repository, tag="v1")
    registry.put(repository, index_of(child), "list")
    registry.start(repository)
    registry.run(service.tag(registry.db, ACCOUNT, repository.name, {"team": "shop"}))

    with pytest.raises(RepositoryNotEmpty):
        registry.run(service.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=False))
    assert len(registry.rows(tables.image)) == 2
    registry.run(service.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=True))

    for table in (
        tables.repository,
        tables.repository_tag,
        tables.repository_blob,
        tables.image,
        tables.image_blob,
        tables.image_child,
        tables.image_tag,
    ):
        assert registry.rows(table) == [], table.name


def test_an_untagged_image_keeps_a_repository_from_being_deleted_by_accident(registry: Registry) -> None:
    repository = registry.repository()
    registry.image(repository)

    with pytest.raises(RepositoryNotEmpty):
        registry.run(service.delete(registry.db, registry.clock.now(), ACCOUNT, repository.name, force=False))


def test_a_repository_made_again_under_the_same_name_is_empty(registry: Registry) -> None:
    first = registry.repository()
    image = registry.image(first, tag="v1")
    registry.run(service.set_policy(registry.db, ACCOUNT, first.name, '{"Version": "2012-10-17"}'))
    registry.run(service.delete(registry.db, registry.clock.now(), ACCOUNT, first.name, force=True))

    second = registry.repository()

    assert second.id != first.id
    assert second.policy is None
    assert registry.run(store.by_digest(registry.db, second.id, image.digest)) is None


def test_the_mutability_of_tags_can_be_changed_with_its_filters(registry: Registry) -> None:
    repository = registry.repository()
    change = service.set_tag_mutability
    mode = TagMutability.IMMUTABLE_WITH_EXCLUSION

    kept = registry.run(change(registry.db, ACCOUNT, repository.name, mode, ["dev-*"]))
    with pytest.raises(InvalidParameter):
        registry.run(change(registry.db, ACCOUNT, repository.name, TagMutability.IMMUTABLE, ["dev-*"]))
    after = registry.run(service.get(registry.db, ACCOUNT, repository.name)).settings

    assert kept == after.mutability_filters == ("dev-*",)
    assert after.tag_mutability is mode
    registry.run(change(registry.db, ACCOUNT, repository.name, TagMutability.IMMUTABLE, None))
    assert registry.run(service.get(registry.db, ACCOUNT, repository.name)).settings.mutability_filters == ()


def test_a_policy_is_kept_character_for_character_until_it_is_deleted(registry: Registry) -> None:
    repository = registry.repository()
    text = '{ "Version":"2012-10-17",\n "Statement": [] , "x": "ü" }'

    with pytest.raises(RepositoryPolicyNotFound):
        registry.run(service.get_policy(registry.db, ACCOUNT, repository.name))
    registry.run(service.set_policy(registry.db, ACCOUNT, repository.name, text))

    assert registry.run(service.get_policy(registry.db, ACCOUNT, repository.name)) == text
    assert registry.run(service.delete_policy(registry.db, ACCOUNT, repository.name)) == text
    with pytest.raises(RepositoryPolicyNotFound):
        registry.run(service.delete_policy(registry.db, ACCOUNT, repository.name))


def test_resource_tags_are_merged_and_removed_by_key(registry: Registry) -> None:
    name = registry.repository().name
    tag, untag = service.tag, service.untag

    registry.run(tag(registry.db, ACCOUNT, name, {"team": "shop", "cost": "1"}))
    registry.run(tag(registry.db, ACCOUNT, name, {"cost": "2", "a": ""}))
    registry.run(untag(registry.db, ACCOUNT, name, ["team", "never-there"]))

    assert registry.run(service.tags(registry.db, ACCOUNT, name)) == {"a": "", "cost": "2"}


def test_the_fifty_first_resource_tag_is_refused_with_all_that_came_with_it(registry: Registry) -> None:
    name = registry.repository().name
    fifty = {f"k{number:02}": "v" for number in range(50)}
    registry.run(service.tag(registry.db, ACCOUNT, name, fifty))

    with pytest.raises(TooManyTags):
        registry.run(service.tag(registry.db, ACCOUNT, name, {"k00": "changed", "one-more": "v"}))

    assert registry.run(service.tags(registry.db, ACCOUNT, name)) == fifty
