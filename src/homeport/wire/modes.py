"""Ways to send a blob. A file of its own, so that reading the settings does not load a web server."""

from __future__ import annotations

from enum import StrEnum


class DownloadMode(StrEnum):
    """How bytes of a blob reach a plain socket."""

    AUTO = "auto"
    SENDFILE = "sendfile"
    COPY = "copy"
    REDIRECT = "redirect"
    """Not at all: the client is sent to the object store, where there is one; otherwise as `auto`."""
