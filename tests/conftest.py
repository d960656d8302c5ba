"""What tests share: a demo app on a database file of its own, made once and copied, with a clock that tests can turn."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from bot.app import App, open_app, web_application
from bot.config import Settings
from nlu import Interpreter

_BESIDE = "the shared vectors are not on this machine"
SECRET = "a secret for tests, long enough to be taken"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """On the project's own CI a skip is a failure, but for yardsticks that lie beside the project and not in it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = [] if reporter is None else reporter.stats.get("skipped", [])
    if os.environ.get("NO_SKIPPED_TESTS") and any(_BESIDE not in str(each.longrepr) for each in skipped):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


class Clock:
    """The real time, moved by as much as a test likes."""

    def __init__(self) -> None:
        self.ahead = dt.timedelta()

    def __call__(self) -> dt.datetime:
        """Give the time."""
        return dt.datetime.now(dt.UTC) + self.ahead


def demo_settings(database: Path | str, **changes: Any) -> Settings:
    """Settings of a demo on a database file or URL."""
    url = database if isinstance(database, str) else f"sqlite:///{database}"
    return Settings(**{"demo": True, "database_url": url, "secret_key": SECRET, "rest_token": "demo", **changes})


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    """The committed model, loaded once."""
    return Interpreter.load()


@pytest.fixture(scope="session")
def demo_database(tmp_path_factory: pytest.TempPathFactory, interpreter: Interpreter) -> Path:
    """A database file with the demo's data, to be copied and never used itself."""
    import asyncio

    path = tmp_path_factory.mktemp("demo") / "demo.db"

    async def fill() -> None:
        async with open_app(demo_settings(path), interpreter=interpreter):
            pass

    asyncio.run(fill())
    return path


OpenDemo = Callable[..., AbstractAsyncContextManager[App]]


@pytest.fixture
def open_demo(tmp_path: Path, demo_database: Path, interpreter: Interpreter) -> OpenDemo:
    """A function that opens a demo app on a fresh copy of the demo's database (or again on the same copy)."""

    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[App]:
        path = tmp_path / "demo.db"
        if not path.exists():
            shutil.copy(demo_database, path)
        settings = {name: changes.pop(name) for name in list(changes) if name in Settings.__slots__}
        async with open_app(demo_settings(path, **settings), interpreter=interpreter, **changes) as app:
            yield app

    return opened


@asynccontextmanager
async def served(app: App) -> AsyncIterator[TestServer]:
    """Serve an app's HTTP side on a free port of loopback."""
    server = TestServer(web_application(app, base_url=""), host="127.0.0.1")
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()
