"""The schema of the conversations and the desk, step by step; run from code, never by hand.

The version stands in a table of its own, beside the wallet's, so that both sets of migrations share one database.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from bot.desk.tables import metadata
from wallet_service import Database, SchemaError
from wallet_service.migrations import take_turns

TABLES = metadata  # the conversations' and the desk's
HEAD = "0002"
_BEFORE_RELEASE = "0001"
VERSION_TABLE = "bot_version"


def current(connection: Connection) -> str | None:
    """Give the schema's version, or None for a database that has none of our tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return version


def upgrade(connection: Connection) -> None:
    """Bring the schema to HEAD inside the caller's transaction."""
    take_turns(connection)
    if (version := current(connection)) == _BEFORE_RELEASE:
        raise SchemaError(
            f"the conversations' tables are at version {version}, from before the first release: start a new database"
        )
    # alembic takes 0.2 s to import: only who migrates pays for it
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def refuse_old(connection: Connection) -> None:
    """Refuse a schema that this version does not speak."""
    version = current(connection)
    if version != HEAD:
        raise SchemaError(
            f"the conversations' tables are at version {version}, this program needs {HEAD}: "
            "run `zhanggui db upgrade`, or a newer program if the tables are newer"
        )


async def migrate(database: Database) -> None:
    """Bring the conversations' tables to the newest version in one transaction; a current schema is left alone."""
    async with database.write() as connection:
        if await connection.run_sync(current) != HEAD:
            await connection.run_sync(upgrade)


async def check(database: Database) -> None:
    """Raise ``SchemaError`` unless the conversations' tables are at the version that this program speaks."""
    async with database.read() as connection:
        await connection.run_sync(refuse_old)
