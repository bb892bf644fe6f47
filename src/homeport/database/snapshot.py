"""A SQLite database as a file: copied while it is in use, checked, and read without touching it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import apsw

from homeport.database.sqlite import Queries, connect, turn
from homeport.kernel.errors import StorageFull, Unavailable

_STEP_PAGES = 4096  # 16 MiB between two reports of progress
_TOLD = 100  # findings of one check


def copy_database(source: Path, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy the database at `source` to the new file `target`, as of one moment, while others use it.

    Blocking. `progress` is told pages done and pages in all. The copy is not flushed to the device.
    Errors: Unavailable, StorageFull.
    """
    reading = connect(source, readonly=True)
    try:
        writing = apsw.Connection(str(target))
        try:
            reading.execute("BEGIN")
            reading.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()  # from here on: this moment
            with writing.backup("main", reading, "main") as copy:
                while not copy.done:
                    copy.step(_STEP_PAGES)
                    if progress is not None:
                        progress(copy.page_count - copy.remaining, copy.page_count)
        finally:
            writing.close()
    except apsw.FullError as error:
        raise StorageFull("No space left for the copy of the metadata database") from error
    except apsw.Error as error:
        raise Unavailable(f"The metadata database cannot be copied: {error}") from error
    finally:
        with turn(source), contextlib.suppress(apsw.Error):
            reading.close()


def integrity(path: Path) -> list[str]:
    """Return what SQLite finds wrong with the database at `path`, at most some hundred lines; blocking.

    Errors: Unavailable when it cannot be read at all.
    """
    connection = connect(path, readonly=True)
    try:
        lines = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_TOLD})")]
        broken = [
            f"a row of {table} refers to a row of {parent} that is not there"
            for _, (table, _, parent, _) in zip(
                range(_TOLD), connection.execute("PRAGMA foreign_key_check"), strict=False
            )
        ]
    except apsw.CorruptError as error:
        return [str(error)]
    except apsw.Error as error:
        raise Unavailable(f"The metadata database cannot be checked: {error}") from error
    finally:
        with turn(path), contextlib.suppress(apsw.Error):
            connection.close()
    return [line for line in lines if line != "ok"] + broken


class Snapshot(Queries):
    """A copied database that nobody writes, as a `Reader`; a context manager. Leaves no file beside it."""

    def __init__(self, path: Path) -> None:
        """Open `path`. Errors: Unavailable."""
        address = f"file:{quote(str(path.resolve()))}?immutable=1"
        try:
            connection = apsw.Connection(address, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        except apsw.Error as error:
            raise Unavailable(f"The copy of the metadata database cannot be opened: {error}") from error
        super().__init__(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
