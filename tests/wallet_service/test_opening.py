"""Opening a wallet: migrations, old schemas, secrets, temporary databases, and the wallet of the environment."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, inspect
from sqlalchemy.engine import Connection

import wallet_service
from tests.wallet_service.conftest import SECRET
from wallet_service import ConfigurationError, SchemaError, Wallet, close_environment, from_environment, migrate
from wallet_service.database import make_private_file
from wallet_service.migrations import HEAD, VERSION_TABLE
from wallet_service.schema import metadata

DATABASES = ("sqlite", "postgresql")


async def test_an_empty_database_is_migrated(tmp_path: Path) -> None:
    """The file appears with every table, in WAL with full synchronisation and foreign keys."""
    async with Wallet.open(f"sqlite:///{tmp_path}/w.db") as wallet, wallet.database.write() as connection:
        settings = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == ["wal", 2, 1]


async def test_migrations_and_tables_agree(empty: str) -> None:
    """What the migrations build is what the code's tables say, checks included, and HEAD is the newest migration."""
    await migrate(empty)
    async with Wallet.open(empty, secret=SECRET, working=False) as wallet, wallet.database.read() as connection:
        assert await connection.run_sync(_differences) == []
        found = await connection.run_sync(lambda sync: inspect(sync).get_multi_check_constraints())
    built = {(table, check["name"]) for (_, table), checks in found.items() for check in checks}
    declared = {
        (table.name, str(constraint.name))
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert declared == built
    config = Config()
    config.set_main_option("script_location", str(Path(wallet_service.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return list(compare_metadata(context, metadata))


async def test_migrating_twice_changes_nothing(empty: str) -> None:
    """Also at once, from four callers."""
    await asyncio.gather(*(migrate(empty) for _ in range(4)))
    async with Wallet.open(empty, secret=SECRET) as wallet:
        assert (await wallet.verify()).ok


async def test_many_may_open_an_empty_database_at_once(empty: str) -> None:
    """One of them makes what is needed, all of them work, and nothing is there twice."""
    async with AsyncExitStack() as stack:
        opening = (stack.enter_async_context(Wallet.open(empty, secret=SECRET)) for _ in range(4))
        wallets = await asyncio.gather(*opening)
        challenge = await wallets[0].start_login("13900000001", key="k")
        assert await wallets[3].start_login("13900000001", key="k") == challenge
        reports = [await wallet.verify() for wallet in wallets]
    assert {(report.accounts, report.faults) for report in reports} == {(4 * len(wallets[0].cities), ())}


async def test_another_set_of_tables_may_live_in_the_file(tmp_path: Path) -> None:
    """Somebody else's tables and alembic version don't make the database old, and stay untouched."""
    with sqlite3.connect(tmp_path / "w.db") as raw:
        raw.execute("CREATE TABLE alembic_version (version_num TEXT)")
        raw.execute("INSERT INTO alembic_version VALUES ('9999')")
    raw.close()
    async with Wallet.open(f"sqlite:///{tmp_path}/w.db") as wallet, wallet.database.read() as connection:
        assert (await connection.exec_driver_sql("SELECT version_num FROM alembic_version")).scalar() == "9999"
        assert (await connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == HEAD


@pytest.mark.parametrize("version", ["0000", "9999"])
async def test_another_schema_is_refused(till, version) -> None:
    """Old or newer: nothing is touched, and the message says what to do."""
    await till.sql(f"UPDATE {VERSION_TABLE} SET version_num = ?", version)
    with pytest.raises(SchemaError, match="zhanggui db upgrade"):
        async with till.reopened():
            pass


async def test_the_secret_is_kept_beside_the_file(tmp_path: Path) -> None:
    """Only its owner may read it, and the next opening uses the same."""
    url = f"sqlite:///{tmp_path}/w.db"
    async with Wallet.open(url) as wallet:
        token = wallet.sign_actor(1, "c")
    key = tmp_path / "w.db.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    async with Wallet.open(url) as wallet:
        assert wallet.verify_actor(token, "c") == 1
    with pytest.raises(ConfigurationError, match="secret key"):
        async with Wallet.open(url, secret="a secret that was chosen"):
            pass


async def test_a_temporary_database_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sqlite:// works like a file and is gone afterwards."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with Wallet.open("sqlite://") as wallet:
        assert (await wallet.verify()).ok
        assert list(tmp_path.rglob("wallet.db"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["mysql://x/y", "no url", "postgresql://nowhere/db"])
async def test_unusable_settings_are_named(url) -> None:
    """An unknown kind of database, no URL at all, and PostgreSQL without a secret."""
    with pytest.raises(ConfigurationError):
        async with Wallet.open(url):
            pass


async def test_the_environment_opens_one_wallet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten callers at once get the same one, with its channels; what is missing is named."""
    monkeypatch.delenv("ZHANGGUI_DATABASE_URL", raising=False)
    with pytest.raises(ConfigurationError, match="ZHANGGUI_DATABASE_URL"):
        await from_environment()
    monkeypatch.setenv("ZHANGGUI_DATABASE_URL", f"sqlite:///{tmp_path}/w.db")
    monkeypatch.setenv("ZHANGGUI_SECRET_KEY", "a secret from the environment")
    monkeypatch.setenv("ZHANGGUI_BANK_URL", "https://bank.example")
    with pytest.raises(ConfigurationError, match="BANK_KEY"):
        await from_environment()
    monkeypatch.setenv("ZHANGGUI_BANK_KEY", "the key of the bank, long enough it is")
    wallets = await asyncio.gather(*(from_environment() for _ in range(10)))
    assert len({id(wallet) for wallet in wallets}) == 1
    assert set(wallets[0].context.outside) == {"bank"}
    assert (await wallets[0].verify()).ok
    await close_environment()


def test_the_face_pulls_in_neither_bot_libraries_nor_alembic() -> None:
    """Importing the package stays cheap."""
    program = (
        "import sys, wallet_service; print([n for n in ('aiogram', 'rasa_sdk', 'alembic', 'bot', 'nlu') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


async def test_a_new_database_is_its_owners_alone(tmp_path: Path) -> None:
    """The file with names and phones, and what SQLite keeps beside it, is mode 0600; one that is there keeps its mode."""
    async with Wallet.open(f"sqlite:///{tmp_path}/w.db"):
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    (tmp_path / "w.db").chmod(0o640)
    async with Wallet.open(f"sqlite:///{tmp_path}/w.db") as wallet:
        assert (await wallet.verify()).ok
    assert stat.S_IMODE((tmp_path / "w.db").stat().st_mode) == 0o640


async def test_a_key_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who dies while writing the key leaves none, and the next opening makes one; who comes second reads the first's."""
    path = tmp_path / "key"

    def full(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        with pytest.raises(OSError, match="disk full"):
            make_private_file(path, b"first")
    assert list(tmp_path.iterdir()) == []
    make_private_file(path, b"second")
    make_private_file(path, b"third")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"second", [path])


async def test_the_first_head_is_signed_when_the_ledger_is_made(empty: str) -> None:
    """Before anything is posted there is a head; a database that was only migrated gets it from its first opening."""
    await migrate(empty)
    async with Wallet.open(empty, secret=SECRET, working=False) as wallet:
        assert (await wallet.verify()).ok
        async with wallet.database.read() as connection:
            assert (await connection.exec_driver_sql("SELECT COUNT(*) FROM chain_head")).scalar() == 0
    async with Wallet.open(empty, secret=SECRET) as wallet, wallet.database.read() as connection:
        assert (await connection.exec_driver_sql("SELECT position FROM chain_head")).scalar() == 0


async def test_a_ledger_of_the_old_form_is_not_taken_over(till) -> None:
    """Its seals prove less: the migration refuses it and changes nothing."""
    await till.sql(f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    with pytest.raises(SchemaError, match="start a new database"):
        await migrate(till.url)
    assert await till.sql(f"SELECT version_num FROM {VERSION_TABLE}") == [("0001",)]
