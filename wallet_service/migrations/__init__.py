"""The wallet's schema, step by step; run from code, never by hand.

The version stands in a table of its own, so that another set of migrations (the conversations') can live in the same database.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from wallet_service.database import Database, parse_url
from wallet_service.errors import SchemaError

HEAD = "0004"
_BEFORE_RELEASE = ("0001", "0002")
VERSION_TABLE = "wallet_version"
_TURN = 7_301_552_140  # the advisory lock of whoever migrates, apart from any other that may share the database


def current(connection: Connection) -> str | None:
    """Give the schema's version, or None for a database that has none of our tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return version


def take_turns(connection: Connection) -> None:
    """Let one migrate at a time until the transaction ends: alembic's context is one a process, and tables are made once."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_TURN})"))


def upgrade(connection: Connection) -> None:
    """Bring the schema to HEAD inside the caller's transaction."""
    take_turns(connection)
    if (version := current(connection)) in _BEFORE_RELEASE:
        raise SchemaError(f"the wallet's tables are at version {version}, from before the first release: start a new database")
    # alembic takes 0.2 s to import: only who migrates pays for it
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def check(connection: Connection) -> None:
    """Refuse a schema that this version does not speak."""
    version = current(connection)
    if version != HEAD:
        raise SchemaError(
            f"the wallet's tables are at version {version}, this program needs {HEAD}: "
            "run `zhanggui db upgrade`, or a newer program if the tables are newer"
        )


async def migrate(url: str) -> None:
    """Bring the wallet's tables in the database at ``url`` to the newest version; a current one is left alone."""
    database = Database.connect(parse_url(url))
    try:
        async with database.write() as connection:
            await connection.run_sync(upgrade)
    finally:
        await database.close()
