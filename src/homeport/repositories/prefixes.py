"""Which prefixes of a registry cover a repository name. ECR User Guide, repository creation templates."""

from __future__ import annotations

ROOT = "ROOT"
"""The prefix of what holds for every repository that has no closer one."""


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
