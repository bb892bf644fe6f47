"""Brings all metadata to another database, and remembers what a run that was killed had brought there.

Moved is every row, with two exceptions. Holds on deletions belong to commands that have ended. Open uploads and the
quarantine stay behind when the bytes move too: their bytes stay where they were, so clients begin such an upload again.
What a tombstone names is deleted in the new place as well, silently when it is not there. Jobs and what happens at
intervals go on where they were; a lease ends by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from homeport.database.copying import NewTables, Tables
from homeport.keeping.durable import new_file, write_all
from homeport.keeping.tables_copy import Measures, Progress, copy_tables, measure
from homeport.kernel.durable import flush_folder
from homeport.kernel.errors import InvalidInput

RECORD = "move.json"
NEVER = frozenset({"deletion_hold"})
OF_OLD_BYTES = frozenset({"upload", "quarantine"})
"""What says something of bytes that stay where they are."""


class MoveRecord:
    """What moves of this registry that are not complete did, in a file of the data folder."""

    def __init__(self, data: Path) -> None:
        self._path = data / RECORD
        try:
            found: dict[str, Any] = json.loads(self._path.read_text())
        except FileNotFoundError:
            found = {}
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{self._path} cannot be read: {error}") from error
        self._begun: list[str] = found.get("begun", [])
        self._copied: dict[str, dict[str, str]] = found.get("copied", {})

    def has_begun(self, storage: str) -> bool:
        """Whether an earlier run looked at a place for bytes and found it fit."""
        return _name(storage) in self._begun

    def begin(self, storage: str) -> None:
        """Write down that a place for bytes is fit."""
        self._begun.append(_name(storage))
        self._write()

    def is_of_us(self, database: str, found: Measures) -> bool:
        """Whether what is in a database is what an earlier run put there, and nothing else."""
        return self._copied.get(_name(database)) == _as_text(found)

    def will_be(self, database: str, measures: Measures) -> None:
        """Write down what is about to be committed in a database."""
        self._copied[_name(database)] = _as_text(measures)
        self._write()

    def end(self) -> None:
        """The move is complete."""
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        text = json.dumps({"begun": self._begun, "copied": self._copied}) + "\n"
        with new_file(self._path) as file:
            write_all(file, text.encode())
        flush_folder(self._path.parent)


def _name(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()  # an address may contain a password


def _as_text(measures: Measures) -> dict[str, str]:
    return {name: str(each) for name, each in measures.items() if each.rows}


async def require_ours(record: MoveRecord, database: str, there: Tables, progress: Progress) -> None:
    """Return when the rows in a database are those that an earlier run put there. Errors: InvalidInput."""
    if not record.is_of_us(database, await measure(there, progress)):
        raise InvalidInput(
            "The new database is not empty: it holds another registry, or one that was used since it was moved there. "
            "Name an empty one."
        )


async def bring_tables(
    source: Tables,
    target: NewTables,
    database: str,
    record: MoveRecord,
    progress: Progress,
    *,
    bytes_move: bool,
) -> Measures:
    """Copy all metadata to a target without rows, compare it, and commit it. Returns what was brought.

    Errors: InvalidInput for rows that the target cannot keep, Unavailable, StorageFull; then the target is unchanged.
    """
    without: Collection[str] = NEVER | OF_OLD_BYTES if bytes_move else NEVER
    measures = await copy_tables(source, target, progress, without=without)
    record.will_be(database, measures)
    await target.commit()
    return measures
