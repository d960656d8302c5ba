"""The migrated schema is the one that the code speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncConnection

import bot.desk.tables
from bot import migrations
from bot.dialogue.store import metadata
from wallet_service import Database, SchemaError
from wallet_service import migrate as migrate_wallet
from wallet_service.database import parse_url

assert bot.desk.tables.handoffs.metadata is metadata


async def _schema(connection: AsyncConnection) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND name != 'bot_version'"
    rows = await connection.execute(sa.text(query))
    return {row.name: " ".join(str(row.sql).split()) for row in rows}


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database file."""
    made = Database.connect(parse_url(f"sqlite:///{tmp_path / 'a.db'}"))
    yield made
    await made.close()


async def test_migrations_build_what_the_metadata_says(database: Database, tmp_path: Path) -> None:
    """Every table, column, constraint and index comes out of the migrations exactly as the code declares it."""
    await migrations.migrate(database)
    declared = Database.connect(parse_url(f"sqlite:///{tmp_path / 'b.db'}"))
    async with declared.write() as connection:
        await connection.run_sync(metadata.create_all)
    async with database.read() as migrated, declared.read() as wanted:
        assert await _schema(migrated) == await _schema(wanted)
    await declared.close()


async def test_migrating_twice_changes_nothing_and_prints_nothing(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """A current schema is left alone, in silence."""
    await migrations.migrate(database)
    async with database.read() as connection:
        before = await _schema(connection)
    await migrations.migrate(database)
    async with database.read() as connection:
        assert await _schema(connection) == before
    assert capsys.readouterr() == ("", "")


async def test_an_old_or_missing_schema_is_refused(database: Database) -> None:
    """The check names the command that helps, for no schema, an older one and a newer one, and passes the right one."""
    with pytest.raises(SchemaError, match="zhanggui db upgrade"):
        await migrations.check(database)
    await migrations.migrate(database)
    await migrations.check(database)
    for version in ("0000", "9999"):
        async with database.write() as connection:
            await connection.execute(sa.text("UPDATE bot_version SET version_num = :v"), {"v": version})
        with pytest.raises(SchemaError, match=version):
            await migrations.check(database)


async def test_head_names_the_newest_script() -> None:
    """The version that the program asks for is the one that the scripts end with, and they form one line."""
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [migrations.HEAD]


async def test_both_sets_of_migrations_share_one_file(tmp_path: Path) -> None:
    """The wallet's tables and the conversations' live side by side, each with a version of its own."""
    url = f"sqlite:///{tmp_path / 'both.db'}"
    await migrate_wallet(url)
    database = Database.connect(parse_url(url))
    await migrations.migrate(database)
    async with database.read() as connection:
        tables = set(await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()))
    assert {"bot_version", "wallet_version", "conversations", "handoffs", "orders"} <= tables
    await database.close()
