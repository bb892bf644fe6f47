"""Names that cannot be wrong: constructing one validates it, so a function that takes one never checks again.

Grammars: repository name, registry id, region and tag from the botocore `ecr` model and the OCI distribution
specification ("Pulling manifests"). Every matcher is linear in its input.
"""

from __future__ import annotations

import re

from homeport.kernel.errors import InvalidParameter, NameInvalid, TagInvalid

_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_REGION = re.compile(r"[0-9a-z-]{2,25}", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
# One component: alphanumeric runs joined by '.', '_', '__' or any run of '-'. No two alternatives can match
# the same text, so there is no back-tracking.
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*", re.ASCII)

REPOSITORY_NAME_PATTERN = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"


class AccountId(str):
    """Twelve digits."""

    __slots__ = ()

    def __new__(cls, text: str) -> AccountId:
        """Validate `text`; raise InvalidParameter when it is not twelve digits."""
        if not _ACCOUNT.fullmatch(text):
            raise InvalidParameter("registryId", "Member must satisfy regular expression pattern: [0-9]{12}")
        return super().__new__(cls, text)


class Region(str):
    """A region name such as `eu-central-1`, or any label of that form."""

    __slots__ = ()

    def __new__(cls, text: str) -> Region:
        """Validate `text`; raise InvalidParameter when it is not 2 to 25 of `0-9a-z-`."""
        if not _REGION.fullmatch(text):
            raise InvalidParameter(
                "region", "Member must satisfy regular expression pattern: [0-9a-z-]{2,25}"
            )
        return super().__new__(cls, text)


class RepositoryName(str):
    """A private repository name: 2 to 256 characters, slash-separated components."""

    __slots__ = ()

    def __new__(cls, text: str) -> RepositoryName:
        """Validate `text`; raise NameInvalid when it is not a legal name."""
        if not 2 <= len(text) <= 256 or not all(map(_COMPONENT.fullmatch, text.split("/"))):
            raise NameInvalid(
                "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'Member must satisfy "
                f"regular expression pattern: {REPOSITORY_NAME_PATTERN}'"
            )
        return super().__new__(cls, text)


class Tag(str):
    """An image tag: 1 to 128 characters of `A-Za-z0-9_.-`, not starting with `.` or `-`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Tag:
        """Validate `text`; raise TagInvalid when it is not a legal tag."""
        if not _TAG.fullmatch(text):
            raise TagInvalid(
                "Invalid parameter at 'imageTag' failed to satisfy constraint: 'Member must satisfy regular "
                "expression pattern: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'"
            )
        return super().__new__(cls, text)
