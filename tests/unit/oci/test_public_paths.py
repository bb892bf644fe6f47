"""Paths to public repositories: an alias, and then exactly what a private path would say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.kernel.errors import HomeportError, RouteNotFound
from homeport.oci.paths import PUBLIC, Resource, Route, parse, parse_public

PREFIXES = ["/v2/", PUBLIC]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    "rest", ["team/app/manifests/v1", "app/blobs/sha256:00", "a/b/c/blobs/uploads/", "app/tags/list"]
)
def test_what_follows_the_alias_is_an_ordinary_path(prefix: str, rest: str) -> None:
    assert parse_public(f"{prefix}my-alias/{rest}", prefix) == ("my-alias", parse(f"/v2/{rest}"))


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_root_belongs_to_no_alias(path: str) -> None:
    assert parse_public(path, "/v2/") == ("", Route(Resource.ROOT))


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("rest", ["", "alias", "alias/", "alias/_catalog", "alias/app", "_catalog"])
def test_there_is_nothing_beside_repositories(prefix: str, rest: str) -> None:
    if prefix + rest == "/v2/":
        return
    with pytest.raises(RouteNotFound):
        parse_public(prefix + rest, prefix)


@given(st.text(st.sampled_from("ab./%2F_-"), max_size=40), st.sampled_from(PREFIXES))
def test_a_parsed_path_names_a_repository_or_is_refused(rest: str, prefix: str) -> None:
    try:
        alias, route = parse_public(prefix + rest, prefix)
    except HomeportError:
        return

    assert "/" not in alias
    assert route.resource is Resource.ROOT or route.name is not None
