"""Where a registry keeps its bytes in S3 or something that speaks S3, as one URL says it.

    s3://bucket/prefix?endpoint=https://host:port&region=eu-west-1&addressing=path&class=STANDARD_IA&archive_class=GLACIER_IR

Only the bucket is required. Without `endpoint` it is AWS. Credentials never stand in the URL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, urlsplit

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()-]+(?:/[A-Za-z0-9!_.*'()-]+)*", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
# Not GLACIER or DEEP_ARCHIVE: S3 reads from them only hours after a restore was asked for.
_CLASSES = frozenset(
    {"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY"}
)


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket, the prefix below which everything lies, and how to reach it."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    path_style: bool = False
    storage_class: str | None = None
    """S3's own storage class for objects at hand; None leaves it to the bucket."""
    archive_class: str | None = None
    """The same for archived objects."""

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Parse the URL. Raises ValueError that says what is wrong with it."""
        parts = urlsplit(url)
        if parts.scheme != "s3":
            raise ValueError(
                f"storage must be an address of the form s3://bucket/prefix, not {parts.scheme}://"
            )
        if (
            parts.username is not None
            or parts.password is not None
            or parts.port is not None
            or parts.fragment
        ):
            raise ValueError(
                "storage has the form s3://bucket/prefix?...; credentials and ports do not belong there"
            )
        bucket, prefix = parts.netloc, parts.path.strip("/")
        if not _BUCKET.fullmatch(bucket):
            raise ValueError(f"{bucket!r} is not the name of a bucket")
        if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
            raise ValueError(f"{prefix!r} is not a prefix of letters, digits and -_.!*'() between slashes")
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        endpoint = options.pop("endpoint", None)
        if endpoint is not None:
            _check_endpoint(endpoint)
        addressing = options.pop("addressing", "path" if endpoint else "virtual")
        if addressing not in ("path", "virtual"):
            raise ValueError("addressing must be path or virtual")
        region = options.pop("region", "us-east-1")
        if not _WORD.fullmatch(region):
            raise ValueError(f"{region!r} is not the name of a region")
        classes = [options.pop(name, None) for name in ("class", "archive_class")]
        for each in classes:
            if each is not None and each not in _CLASSES:
                raise ValueError(f"{each!r} is none of the storage classes {', '.join(sorted(_CLASSES))}")
        if options:
            raise ValueError(f"storage knows no option {', '.join(sorted(options))}")
        return cls(bucket, prefix, endpoint, region, addressing == "path", classes[0], classes[1])


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(f"endpoint must be an http or https address, not {endpoint!r}")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("endpoint must name a host only")
    _ = parts.port  # raises ValueError for what is no port


def checked_url(url: str) -> str:
    """Return `url` itself if it names a place. Raises ValueError."""
    S3Place.from_url(url)
    return url
