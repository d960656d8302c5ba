"""A desk on a real SQLite file, customers who talk to it, and its pages served on loopback."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import ClientResponse, ClientSession, CookieJar, web
from argon2 import PasswordHasher

import locales
from bot.desk.agents import Accounts
from bot.desk.routes import desk_routes
from bot.desk.service import Desk
from bot.desk.store import Agent, Place, Role
from bot.desk.tables import agents
from bot.dialogue.store import Conversation, Event, Store, door_of, doors
from bot.migrations import migrate
from locales import Locale
from wallet_service import Database, Randomness
from wallet_service.database import parse_url
from wallet_service.keys import Keys
from wallet_service.vault import KEY_BYTES, DataKey, Vault

PASSWORD = "correct horse 马"


@cache
def password_hash() -> str:
    """Hash the agents' password once."""
    return PasswordHasher().hash(PASSWORD)


@dataclass
class Clock:
    """A clock that moves when a test says so."""

    now: int = 1_790_000_000_000

    def __call__(self) -> int:
        """Give the time."""
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass."""
        self.now += int(seconds * 1000)


@dataclass
class House:
    """The desk with all that stands around it, and what the bot's side was asked to do."""

    database: Database
    locale: Locale
    clock: Clock
    delivered: list[tuple[str, str]] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)
    failing: bool = False

    def __post_init__(self) -> None:
        self.store = Store(self.database)
        self.desk = Desk(
            self.database,
            self.locale,
            deliver=self._deliver,
            resume=self._resume,
            name_of=self._name_of,
            clock=self.clock,
        )
        self.accounts = Accounts(self.database, clock=self.clock)

    async def point(self, channel: str, sender: str, conversation_id: int) -> None:
        """Point an end of a channel to another conversation, as a log-in does."""
        end = door_of(self.database, channel, sender)
        door = sa.update(doors).where(doors.c.channel == channel, doors.c.sender_index == end["sender_index"])
        async with self.database.write() as connection:
            await connection.execute(door.values(conversation_id=conversation_id))

    async def _deliver(self, channel: str, sender: str) -> None:
        if self.failing:
            raise ConnectionError("door is shut")
        self.delivered.append((channel, sender))

    async def _name_of(self, person: int) -> str:
        return f"*{person}"

    async def _resume(self, conversation_id: int) -> None:
        if self.failing:
            raise RuntimeError("no question")
        self.resumed.append(conversation_id)

    async def agent(self, name: str = "小林", role: Role = "agent") -> Agent:
        """Make an agent as ``add_agent`` does, with the one password hash of all tests (an argon2 hash takes 150 ms)."""
        row = {"name": name, "password": password_hash(), "role": role, "created_at": self.clock.now}
        async with self.database.write() as connection:
            new = await connection.execute(sa.insert(agents).values(row).returning(agents.c.id))
        return Agent(new.scalar_one(), name, role)

    async def customer(self, sender: str = "ann", said: str = "人工") -> Conversation:
        """Open a conversation in which a customer has said something."""
        await self.store.open("web", sender, {"stack": []}, self.clock.now)
        conversation = await self.store.load("web", sender, "m1")
        assert conversation is not None
        await self.store.record(conversation.id, [Event("user", {"text": said}, self.clock.now)])
        return conversation

    async def ask(self, conversation: Conversation, **context: Any) -> Place:
        """Let a conversation ask for a human."""
        return await self.desk.request(
            conversation.id, topic="transfer", city="xiamen", reason="asked", context={"customer": "*小明", **context}
        )

    async def waiting(self, sender: str = "ann", **context: Any) -> tuple[Conversation, int]:
        """Open a conversation that waits in the queue, and give it with its handoff's id."""
        conversation = await self.customer(sender)
        await self.ask(conversation, **context)
        handoffs = await self.desk._store.open()
        return conversation, next(one.id for one in handoffs if one.conversation_id == conversation.id)

    async def pushed(self, sender: str = "ann") -> list[str]:
        """Take the texts that wait at an end of the web channel."""
        return [reply.text for reply in await self.store.claim_pushes("web", sender)]


@pytest.fixture
def locale(tmp_path: Path) -> Locale:
    """The desk's own words, and names of one flow and its slots."""
    folder = tmp_path / "words"
    folder.mkdir()
    shutil.copy(Path(locales.__file__).parent / "zh_CN" / "desk.yml", folder)
    names = "flow_names: {transfer_money: 转账}\nslot_names: {payee: 收款人, amount: 金额}\n"
    (folder / "transfer.yml").write_text(names, encoding="utf-8")
    return Locale(folder)


def vault() -> Vault:
    """A vault with one key, for a database without the wallet's tables."""
    made, now = Vault(Keys("a secret for tests"), Randomness()), dt.datetime.now(dt.UTC)
    made.learn([DataKey(1, made.wrap(1, bytes(KEY_BYTES)), now)], now)
    return made


@pytest.fixture
async def house(tmp_path: Path, locale: Locale) -> AsyncIterator[House]:
    """The desk on a migrated file."""
    database = Database.connect(parse_url(f"sqlite:///{tmp_path / 'desk.db'}"))
    database.use_vault(vault())
    await migrate(database)
    yield House(database, locale, Clock())
    await database.close()


class Browser:
    """An agent's browser: keeps cookies and sends the CSRF token like the page does."""

    def __init__(self, base: str) -> None:
        self.base = base + "/desk"
        self.http = ClientSession(cookie_jar=CookieJar(unsafe=True))
        self.csrf = ""

    async def get(self, path: str, **options: Any) -> ClientResponse:
        """Get a path below /desk, without following redirects."""
        return await self.http.get(self.base + path, allow_redirects=False, **options)

    async def post(self, path: str, body: Any = None, *, csrf: str | None = None) -> ClientResponse:
        """Post to the API with the CSRF token."""
        headers = {"X-CSRF-Token": self.csrf if csrf is None else csrf}
        return await self.http.post(self.base + "/api/" + path, json={} if body is None else body, headers=headers)

    async def log_in(self, name: str = "小林", password: str = PASSWORD) -> ClientResponse:
        """Log in as the page does."""
        token = (await (await self.get("/api/login")).json())["csrf"]
        response = await self.post("login", {"name": name, "password": password}, csrf=token)
        self.csrf = (await response.json()).get("csrf", "")
        return response


@dataclass
class Site:
    """The desk's pages, served."""

    base: str
    house: House
    browsers: list[Browser] = field(default_factory=list)

    def browser(self) -> Browser:
        """Open a browser that is closed with the site."""
        self.browsers.append(Browser(self.base))
        return self.browsers[-1]

    async def at_desk(self, name: str = "小林", role: Role = "agent") -> tuple[Browser, Agent]:
        """Make an agent and log them in."""
        agent = await self.house.agent(name, role)
        browser = self.browser()
        assert (await browser.log_in(name)).status == 200
        return browser, agent


@asynccontextmanager
async def serve(house: House) -> AsyncIterator[Site]:
    """Serve the desk of a house on a free port of loopback."""
    app = web.Application()
    cities = {"xiamen": "厦门"}
    app.add_routes(
        desk_routes(
            house.desk, house.accounts, locale=house.locale, city_name=lambda code: cities[code], secure=False, clock=house.clock
        )
    )
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    port = runner.addresses[0][1]
    site = Site(f"http://127.0.0.1:{port}", house)
    yield site
    house.desk.stop()
    for browser in site.browsers:
        await browser.http.close()
    await runner.cleanup()


@pytest.fixture
async def site(house: House) -> AsyncIterator[Site]:
    """The desk's pages, served."""
    async with serve(house) as served:
        yield served
