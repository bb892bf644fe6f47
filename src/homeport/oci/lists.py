"""Tags of a repository and repositories of a registry, by keyset: constant memory, resumable after a lost name."""

from __future__ import annotations

import json
from collections.abc import Mapping

from homeport.access.authorize import Target, require
from homeport.access.operations import OPERATIONS
from homeport.images import store as image_store
from homeport.kernel import limits
from homeport.kernel.errors import InvalidParameter
from homeport.oci import paths
from homeport.oci.paths import Route
from homeport.oci.visit import Visit
from homeport.registry import service as registries
from homeport.repositories import service as repositories
from homeport.repositories.model import repository_arn
from homeport.wire.answer import Answer


def _count(query: Mapping[str, str]) -> int:
    """Return the page size that `n` asks for, capped. Errors: InvalidParameter when it is not a number."""
    text = query.get("n")
    if text is None:
        return limits.PAGE_MAX
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise InvalidParameter("n", "Member must be a whole number of 0 or more")
    return min(int(text), limits.PAGE_MAX)


def _page(path: str, key: str, names: list[str], count: int, **more: str) -> Answer:
    """Answer `names`, which holds one more than `count` when there is a next page."""
    shown = names[:count]
    headers = {"Content-Type": "application/json"}
    if len(names) > count and shown:
        headers["Link"] = paths.next_link(path, n=count, last=shown[-1])
    return Answer(body=json.dumps({**more, key: shown}).encode(), headers=headers)


async def tags(visit: Visit, route: Route) -> Answer:
    """GET tags/list."""
    repository = await visit.repository("ListTags", route.repository)
    query = paths.query(visit.exchange.raw_query)
    count = _count(query)
    found = await image_store.tags_page(visit.region.db, repository.id, query.get("last", ""), count + 1)
    name = visit.name_of(repository)
    return _page(f"/v2/{name}/tags/list", "tags", found, count, name=name)


async def catalog(visit: Visit, _: Route) -> Answer:
    """GET _catalog: the repositories of the registry, to those who may describe all of them."""
    visit.exchange.operation = "ListRepositories"
    target = Target(
        visit.account,
        repository_arn(visit.region.name, visit.account, "*"),
        registry=await registries.policy_in_force(visit.region.db, visit.account),
    )
    context = visit.exchange.context(visit.region.name, visit.now)
    require(visit.principal, OPERATIONS["oci", "ListRepositories"], target, context)
    query = paths.query(visit.exchange.raw_query)
    count = _count(query)
    found = await repositories.page(visit.region.db, visit.account, query.get("last", ""), count + 1)
    return _page("/v2/_catalog", "repositories", [each.name for each in found], count)
