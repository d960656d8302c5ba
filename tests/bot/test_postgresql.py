"""The whole assistant on PostgreSQL: its tables, its conversations, and many workers at one database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from aiohttp import ClientSession
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import bot.desk.tables
from bot.app import App, open_app
from bot.dialogue.store import metadata
from bot.migrations import VERSION_TABLE
from nlu import Interpreter
from tests.bot.talk import CHEN, LI, WANG, Talk
from tests.conftest import Clock, demo_settings, served
from tests.dialogues.player import Player
from tests.wallet_service.conftest import sql_on
from wallet_service.bench import cluster as postgres

assert bot.desk.tables.handoffs.metadata is metadata

FILES = sorted((Path(__file__).parents[1] / "dialogues").glob("*.yml"))
OpenOn = Callable[..., AbstractAsyncContextManager[App]]


@pytest.fixture(scope="module")
def server(interpreter: Interpreter) -> Iterator[postgres.Server]:
    """A server with the app's demo in a database named ``demo``."""
    pytest.importorskip("asyncpg")

    async def fill(running: postgres.Server) -> None:
        await sql_on(running.url("postgres"), "CREATE DATABASE demo")
        async with open_app(demo_settings(running.url("demo")), interpreter=interpreter):
            pass

    try:
        with postgres.server() as running:
            asyncio.run(fill(running))
            yield running
    except postgres.Missing as reason:
        pytest.skip(str(reason))


@pytest.fixture
async def url(server: postgres.Server) -> AsyncIterator[str]:
    """A fresh copy of the demo's database."""
    name = f"b{uuid4().hex}"
    await sql_on(server.url("postgres"), f"CREATE DATABASE {name} TEMPLATE demo")
    yield server.url(name)
    await sql_on(server.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def worker(url: str, interpreter: Interpreter) -> OpenOn:
    """Opens the app on that database, as often as there are to be workers."""

    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[App]:
        async with open_app(demo_settings(url), interpreter=interpreter, **changes) as app:
            yield app

    return opened


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_a_conversation_of_each_kind(path: Path, worker: OpenOn) -> None:
    """The first conversation of each file goes as it does on SQLite: log-in, transfer, code, digression, people, pictures."""
    case, clock = yaml.safe_load(path.read_text(encoding="utf-8"))[0], Clock()
    async with worker(clock=clock) as app, served(app) as door, ClientSession() as session:
        await Player(app, door, session, clock).play(case)
        report = await app.wallet.verify()
        assert report.ok, report.faults


async def test_the_tables_are_what_the_code_says(worker: OpenOn) -> None:
    """The migrations build every table, column, index and key of the conversations and the desk."""

    def differences(connection: Any) -> list[Any]:
        mine = {table.name for table in metadata.sorted_tables}
        options = {"version_table": VERSION_TABLE, "include_name": lambda name, kind, _: kind != "table" or name in mine}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    async with worker() as app, app.wallet.database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_workers_may_start_together_on_nothing(server: postgres.Server, interpreter: Interpreter) -> None:
    """Four workers open an empty database at once: it is migrated and filled once, and all of them serve it."""
    name = f"b{uuid4().hex}"
    await sql_on(server.url("postgres"), f"CREATE DATABASE {name}")
    async with AsyncExitStack() as stack:
        settings = demo_settings(server.url(name))
        opening = (stack.enter_async_context(open_app(settings, interpreter=interpreter)) for _ in range(4))
        apps = await asyncio.gather(*opening)
        for app, phone in zip(apps, (WANG, LI, CHEN, WANG), strict=True):
            assert "已登录" in await Talk(app).log_in(phone)
        assert (await apps[3].wallet.verify()).ok


async def test_a_message_that_two_workers_get_is_answered_once(worker: OpenOn) -> None:
    """The same confirmation delivered to two workers at once moves the money once, and both give the same answer."""
    async with worker() as one, worker() as other:
        talk = Talk(one)
        await talk.log_in(WANG)
        await talk.say("给李娜转200块")
        inbound = talk.inbound(talk.code(WANG))
        answers = await asyncio.gather(one.engine.handle(inbound), other.engine.handle(inbound))
        assert answers[0] == answers[1]
        assert "转好了" in answers[0].replies[0].text
        assert (await one.wallet.balance(1)).available == 480_000
        assert (await other.wallet.verify()).ok
