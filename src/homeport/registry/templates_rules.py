"""Which template belongs to a repository name, and what may stand in one. ECR User Guide, creation templates."""

from __future__ import annotations

import re

from homeport.kernel.errors import InvalidParameter
from homeport.registry.templates_model import ROOT, Wish

_ROLE = re.compile(r"arn:aws(?:-[a-z]+)*:iam::([0-9]{12}):role/[\w+=,.@/-]{1,576}", re.ASCII)


def spellings(prefix: str) -> tuple[str, str]:
    """Return the two ways to write a prefix: a `/` at its end is implied, so both name the same one."""
    bare = prefix.rstrip("/")
    return bare, bare + "/"


def candidates(name: str) -> list[str]:
    """Return the prefixes that cover the repository `name`, closest first, each without its final `/`.

    `a/b/c` is covered by `a/b`, `a` and ROOT; a repository `a` is not below the prefix `a`.
    """
    parts = name.split("/")
    return ["/".join(parts[:length]) for length in range(len(parts) - 1, 0, -1)] + [ROOT]


def check_role(arn: str | None, account: str) -> None:
    """Return when ECR could be given that role. Errors: InvalidParameter unless it is a role of `account`."""
    if arn is None:
        return
    match = _ROLE.fullmatch(arn)
    if match is None or match[1] != account:
        raise InvalidParameter("customRoleArn", "Member must be the ARN of an IAM role of this account")


def lacks_role(wish: Wish) -> bool:
    """Whether repositories cannot be made from the template: it sets tags and names no role that may."""
    return bool(wish.resource_tags) and wish.custom_role_arn is None
