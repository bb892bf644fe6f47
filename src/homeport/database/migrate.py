"""Brings a database to the schema of this program: Alembic writes the SQL, our own driver runs it.

Letting Alembic open its own connection would bring a second SQLite library into the process (Python's own is often
older and lacks the WAL-reset fix), so the revisions are rendered to SQL and run in one transaction. That of PostgreSQL
is in `migrate_postgres.py`.
"""

from __future__ import annotations

import io
from pathlib import Path

import apsw

from homeport.database.sqlite import connect, turn
from homeport.kernel.errors import Unavailable

HEAD = "0003"
"""The revision that this program needs; a test compares it with the newest file in `migrations/versions`."""


def migrate_sqlite(path: Path) -> str | None:
    """Create or upgrade the database at `path`; return the revision it had (None when it was new).

    Errors: Unavailable when the database belongs to a newer program.
    """
    connection = connect(path)
    with turn(path):
        try:
            found = _revision(connection)
            if found != HEAD:
                with connection:
                    # To its end: a statement that answers a row stops the ones after it.
                    connection.execute(upgrade_sql(found, "sqlite")).fetchall()
        finally:
            connection.close()
    return found


def _revision(connection: apsw.Connection) -> str | None:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
    return str(row[0]) if row else None


def upgrade_sql(found: str | None, dialect: str) -> str:
    """Return the SQL that brings the revision `found` to `HEAD`, in a dialect that SQLAlchemy knows by name.

    Errors: Unavailable when `found` is of a newer program.
    """
    # Alembic takes a quarter of a second to import; only a start that migrates pays for it.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    folder = Path(__file__).parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder))
    script = ScriptDirectory(str(folder))
    sql = io.StringIO()
    environment = EnvironmentContext(
        config,
        script,
        fn=lambda revision, _: script._upgrade_revs(HEAD, revision),
        as_sql=True,
        starting_rev=found,
        destination_rev=HEAD,
    )
    try:
        with environment:
            environment.configure(dialect_name=dialect, output_buffer=sql)
            environment.run_migrations()
    except CommandError as error:
        raise Unavailable(
            f"The database was written by a newer Homeport (schema {found}); run that version or newer."
        ) from error
    return sql.getvalue()
