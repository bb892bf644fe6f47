"""From a request target to one canonical route: nothing that a client writes gets around it."""

from __future__ import annotations

import pytest

from homeport.kernel.errors import HomeportError, NameInvalid, RouteNotFound
from homeport.kernel.names import RepositoryName
from homeport.oci.paths import (
    Resource,
    Route,
    blob_path,
    manifest_path,
    next_link,
    parse,
    query,
    upload_path,
)

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("path", "resource", "name", "reference"),
    [
        ("/v2", Resource.ROOT, None, ""),
        ("/v2/", Resource.ROOT, None, ""),
        ("/v2/_catalog", Resource.CATALOG, None, ""),
        ("/v2/shop/tags/list", Resource.TAGS, "shop", ""),
        ("/v2/shop/cart/manifests/v1", Resource.MANIFEST, "shop/cart", "v1"),
        (f"/v2/shop/manifests/{DIGEST}", Resource.MANIFEST, "shop", DIGEST),
        (f"/v2/shop/blobs/{DIGEST}", Resource.BLOB, "shop", DIGEST),
        ("/v2/shop/blobs/uploads", Resource.UPLOADS, "shop", ""),
        ("/v2/shop/blobs/uploads/", Resource.UPLOADS, "shop", ""),
        ("/v2/shop/blobs/uploads/some-id", Resource.UPLOAD, "shop", "some-id"),
        (f"/v2/shop/referrers/{DIGEST}", Resource.REFERRERS, "shop", DIGEST),
        ("/v2/shop%2Fcart/manifests/v1", Resource.MANIFEST, "shop/cart", "v1"),
        (f"/v2/shop/blobs/{DIGEST.replace(':', '%3A')}", Resource.BLOB, "shop", DIGEST),
    ],
)
def test_each_end_of_the_distribution_api_has_its_route(
    path: str, resource: Resource, name: str | None, reference: str
) -> None:
    route = parse(path)

    assert (route.resource, route.name, route.reference) == (resource, name, reference)


@pytest.mark.parametrize(
    "name",
    [
        "blobs/uploads",
        "manifests",
        "tags/list",
        "v2",
        "a/manifests/x",
        "a/blobs/uploads/b",
        "referrers/a",
        "token",
    ],
)
def test_a_repository_may_be_called_like_a_route_without_shadowing_one(name: str) -> None:
    assert parse(f"/v2/{name}/manifests/v1") == Route(Resource.MANIFEST, RepositoryName(name), "v1")
    assert parse(f"/v2/{name}/tags/list") == Route(Resource.TAGS, RepositoryName(name))
    assert parse(f"/v2/{name}/blobs/uploads/") == Route(Resource.UPLOADS, RepositoryName(name))
    assert parse(blob_path(name, DIGEST)) == Route(Resource.BLOB, RepositoryName(name), DIGEST)
    assert parse(manifest_path(name, DIGEST)) == Route(Resource.MANIFEST, RepositoryName(name), DIGEST)
    assert parse(upload_path(name, "id")) == Route(Resource.UPLOAD, RepositoryName(name), "id")


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../etc/manifests/v1",
        "/v2/a/../b/manifests/v1",
        "/v2//manifests/v1",
        "/v2//a/manifests/v1",
        "/v2/a//b/manifests/v1",
        "/v2/a//manifests/v1",
        "/v2/A/manifests/v1",
        "/v2/a;x=1/manifests/v1",
        "/v2/a\\b/manifests/v1",
        "/v2/a%00b/manifests/v1",
        "/v2/%2e%2e/manifests/v1",
        "/v2/a%2f..%2fb/manifests/v1",
        "/v2/a%252fb/manifests/v1",  # encoded twice
        "/v2/ab/manifests/v1%2525",
        "/v2/a%c0%ae/manifests/v1",  # overlong UTF-8 of a dot
        "/v2/a%ff/manifests/v1",
        "/v2/a%zz/manifests/v1",
        "/v2/a%/manifests/v1",
        "/v2/blobs/uploads",
        "/v2/blobs/uploads/x",
        "/v2/tags/list",
        f"/v2/{'a' * 257}/manifests/v1",
    ],
)
def test_a_name_that_is_none_is_refused_however_it_is_written(path: str) -> None:
    with pytest.raises(NameInvalid):
        parse(path)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/ab",
        "/v2/ab/",
        "/v2/ab/manifests",
        "/v2/ab/manifests/",
        "/v2/ab/blobs/",
        "/v2/ab/referrers/",
        "/v2/ab/tags/list/",
        "/v2/ab/tags",
        "/v2/_catalog/",
        "/v2/ab/manifests/v1/",
        "/v2/ab/manifests/v1/x",
        "/v2/ab/Manifests/v1",
        "/v2/ab/blobs/uploads/id/",
        "/v2/manifests/v1",
        "/v2x",
        "/v20/",
    ],
)
def test_a_path_that_is_nearly_a_route_is_nothing(path: str) -> None:
    with pytest.raises((RouteNotFound, NameInvalid)):
        parse(path)


def test_a_query_is_read_once_and_decoded_once() -> None:
    assert query("") == {}
    assert query(f"digest={DIGEST.replace(':', '%3A')}&from=a%2Fb&last=") == {
        "digest": DIGEST,
        "from": "a/b",
        "last": "",
    }


@pytest.mark.parametrize("text", ["digest=a&digest=b", "n=1&%6e=2", "&".join(f"k{n}=1" for n in range(33))])
def test_a_query_that_two_readers_could_read_differently_or_that_is_endless_is_refused(text: str) -> None:
    with pytest.raises(HomeportError):
        query(text)


def test_the_link_to_the_next_page_survives_the_way_back() -> None:
    link = next_link("/v2/a/tags/list", n=2, last="v1&n=9 +%")

    path, _, raw = link.removeprefix("<").partition(">")[0].partition("?")

    assert path == "/v2/a/tags/list"
    assert query(raw) == {"n": "2", "last": "v1&n=9 +%"}
    assert link.endswith('>; rel="next"')
