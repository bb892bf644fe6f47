"""Changes single settings in the file of a data folder, and nothing else in it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from homeport import config
from homeport.kernel.durable import flush_folder, replace_text
from homeport.kernel.errors import InvalidInput


def changed(text: str, values: Mapping[str, str | None]) -> str:
    """Return the text of a settings file with other values; None removes a setting.

    Errors: InvalidInput when the text is written in a way that this does not understand.
    """
    top, tables, below = _parted(text)
    for name in values:
        top = re.sub(rf"^[ \t]*{name}[ \t]*=[^\n]*\n?", "", top, flags=re.MULTILINE)
    if top and not top.endswith("\n"):
        top += "\n"
    top += "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items() if value is not None)
    made = top + tables + below
    wanted = {**tomllib.loads(text), **values}
    if not _means(made, {name: value for name, value in wanted.items() if value is not None}):
        raise InvalidInput(f"{config.FILE} is written in a way that cannot be changed by a program.")
    return made


def _parted(text: str) -> tuple[str, str, str]:
    """Return what comes before the first table, the head of that, and the rest."""
    found = re.search(r"^[ \t]*\[", text, flags=re.MULTILINE)
    if found is None:
        return text, "", ""
    return text[: found.start()], text[found.start() : found.end()], text[found.end() :]


def _means(text: str, wanted: Mapping[str, object]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False


def change(data: Path, values: Mapping[str, str | None]) -> None:
    """Change settings of a data folder, durably. Errors: InvalidInput, OSError."""
    file = data / config.FILE
    replace_text(file, changed(file.read_text(), values))
    flush_folder(data)
