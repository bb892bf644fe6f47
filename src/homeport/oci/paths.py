"""From a request target to a route and back. OCI distribution-spec 1.1, "Endpoints".

The path is decoded once and matched from the right by whole segments, so a repository may be called almost anything
without shadowing a route, and authorisation and routing read the same parsed value (cases N1, N2, N6, N7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote

from homeport.kernel.errors import NameInvalid, RouteNotFound
from homeport.kernel.names import RepositoryName


class Resource(Enum):
    """What a path under /v2/ names."""

    ROOT = "root"
    CATALOG = "catalog"
    TAGS = "tags"
    MANIFEST = "manifest"
    BLOB = "blob"
    UPLOADS = "uploads"
    UPLOAD = "upload"
    REFERRERS = "referrers"


@dataclass(frozen=True, slots=True)
class Route:
    """A parsed path: the resource, the repository and the last segment (tag, digest or upload id)."""

    resource: Resource
    name: RepositoryName | None = None
    reference: str = ""

    @property
    def repository(self) -> RepositoryName:
        """The repository's name, for resources that have one."""
        assert self.name is not None
        return self.name


PUBLIC = "/v2/public.ecr/"
"""Where public repositories are on a host that serves every registry."""
_KNOWN_CHARS = 512  # longer paths are parsed each time, so that what is remembered stays small
_BY_LAST_BUT_ONE = {
    "manifests": Resource.MANIFEST,
    "blobs": Resource.BLOB,
    "referrers": Resource.REFERRERS,
}


def parse(raw_path: str) -> Route:
    """Return the route of a raw path that begins with `/v2`. Errors: RouteNotFound, NameInvalid."""
    return _parse_known(raw_path) if len(raw_path) < _KNOWN_CHARS else _parse(raw_path)


def _parse(raw_path: str) -> Route:
    if raw_path in ("/v2", "/v2/"):
        return Route(Resource.ROOT)
    path = raw_path
    if "%" in path:
        try:
            path = unquote(raw_path, errors="strict")
        except UnicodeDecodeError:
            raise NameInvalid("The path is not valid UTF-8") from None
        if "%" in path:
            raise NameInvalid("The path is encoded more than once")
    if not path.startswith("/v2/"):
        raise RouteNotFound("There is nothing at this path")
    if path == "/v2/_catalog":
        return Route(Resource.CATALOG)
    segments = path[4:].split("/")
    if segments[-2:] == ["blobs", "uploads"] or segments[-3:] == ["blobs", "uploads", ""]:
        end = -3 if segments[-1] == "" else -2
        return Route(Resource.UPLOADS, _name(segments[:end]))
    if segments[-3:-1] == ["blobs", "uploads"]:
        return Route(Resource.UPLOAD, _name(segments[:-3]), segments[-1])
    if segments[-2:] == ["tags", "list"]:
        return Route(Resource.TAGS, _name(segments[:-2]))
    resource = _BY_LAST_BUT_ONE.get(segments[-2]) if len(segments) > 2 else None
    if resource is None or not segments[-1]:
        raise RouteNotFound("There is nothing at this path")
    return Route(resource, _name(segments[:-2]), segments[-1])


_parse_known = lru_cache(maxsize=4096)(_parse)


def parse_public(raw_path: str, prefix: str) -> tuple[str, Route]:
    """Return (alias, route) of a raw path to public repositories, whose alias comes after `prefix`.

    The alias is as it came: one that holds an escape is no alias. Errors: RouteNotFound, NameInvalid.
    """
    if raw_path in ("/v2", "/v2/"):
        return "", Route(Resource.ROOT)
    alias, _, rest = raw_path.removeprefix(prefix).partition("/")
    route = parse(f"/v2/{rest}")
    if route.name is None:  # a list of all repositories is not public
        raise RouteNotFound("There is nothing at this path")
    return alias, route


def _name(segments: list[str]) -> RepositoryName:
    return RepositoryName("/".join(segments))


def query(raw_query: str) -> Mapping[str, str]:
    """Return the query as a mapping.

    Errors: NameInvalid when a key comes twice (two readers might disagree) or there are more than 32.
    """
    if not raw_query:
        return {}
    try:
        pairs = parse_qsl(raw_query, keep_blank_values=True, max_num_fields=32)
    except ValueError:
        raise NameInvalid("The query has more than 32 parameters") from None
    together = dict(pairs)
    if len(together) != len(pairs):
        raise NameInvalid("A query parameter appears twice")
    return together


def blob_path(name: str, digest: str) -> str:
    """Return the path of a blob."""
    return f"/v2/{name}/blobs/{digest}"


def manifest_path(name: str, reference: str) -> str:
    """Return the path of a manifest."""
    return f"/v2/{name}/manifests/{reference}"


def upload_path(name: str, upload_id: str) -> str:
    """Return the path of an open upload."""
    return f"/v2/{name}/blobs/uploads/{upload_id}"


def next_link(path: str, **parameters: str | int) -> str:
    """Return the value of a Link header to the next page."""
    joined = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in parameters.items())
    return f'<{path}?{joined}>; rel="next"'
