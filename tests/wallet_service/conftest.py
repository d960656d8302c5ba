"""A real database with the demo in it, a clock that tests turn, and a phone that shows what was sent to it."""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.wallet_service.channels import Channel
from wallet_service import CodeLimit, Fen, LoginLimit, Notice, Order, PasswordCost, Person, Transfer, Wallet, WalletError
from wallet_service.bench import cluster as postgres
from wallet_service.commands import Command
from wallet_service.database import parse_url
from wallet_service.demo import load

SECRET = "a secret for tests, long enough"
LIMITS: dict[str, Any] = {
    "login_limit": LoginLimit(per_ten_minutes=3, per_day=5),
    "code_limit": CodeLimit(1_000, 1_000),
    "password_cost": PasswordCost(rounds=1, memory=8, lanes=1),
}
START = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)  # noon in Shanghai


class Clock:
    """Stands still until it is told to move on."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """Give the moment it stands at."""
        return self.now

    def advance(self, **span: float) -> None:
        """Move on by a timedelta's arguments."""
        self.now += timedelta(**span)


class Till:
    """The wallet under test with short ways to do what most tests do."""

    def __init__(
        self, wallet: Wallet, clock: Clock, ids: dict[str, int], url: str, outside: Mapping[str, Channel] | None = None
    ) -> None:
        self.wallet, self.clock, self.ids, self.url = wallet, clock, ids, url
        self.path = Path(url.removeprefix("sqlite:///"))
        self.outside = outside or {}
        self.notices: list[Notice] = []
        self._keys = itertools.count()

    def key(self) -> str:
        """Give a key nobody used."""
        return f"test/{next(self._keys)}"

    async def number(self, name: str, city: str = "xiamen") -> str:
        """Give the wallet number of somebody."""
        return (await self.wallet.balance(self.ids[name], city)).wallet_id

    async def held_by(self, name: str, city: str = "xiamen") -> int:
        """Give somebody's available fen."""
        return (await self.wallet.balance(self.ids[name], city)).available

    async def wish(self, command: Command, **options: Any) -> Order:
        """Propose any command for whoever it names as its payer."""
        return await self.wallet.propose(command, actor=command.payer, key=self.key(), **options)

    async def propose(self, payer: str, payee: str, amount: int, **options: Any) -> Order:
        """Propose a transfer between two people; the payer knows the payee's family name, unless a test says otherwise."""
        actor, replaces, key = self.ids[payer], options.pop("replaces", None), options.pop("key", None) or self.key()
        number = await self.number(payee, options.pop("payee_city", "xiamen"))
        options.setdefault("surname", payee[0])
        command = Transfer(payer=actor, payee=number, amount=Fen(amount), **options)
        return await self.wallet.propose(command, actor=actor, key=key, replaces=replaces)

    @property
    def bank(self) -> Channel:
        """The bank that this wallet's orders go to."""
        return self.outside["bank"]

    @property
    def biller(self) -> Channel:
        """The biller that this wallet's orders go to."""
        return self.outside["biller"]

    async def collect(self) -> list[Notice]:
        """Claim all that waits and mark it sent; give what goes by SMS, as most notices do, whatever its other ways."""
        return [notice for notice in await self.collect_all() if notice.channel == "sms"]

    async def collect_all(self) -> list[Notice]:
        """Claim all that waits and mark it sent; give it once for each way."""
        claimed = list(await self.wallet.claim_notices(1000))
        for notice in claimed:
            await self.wallet.notice_sent(notice.id)
        self.notices += [notice for notice in claimed if notice.channel == "sms" or "code" in notice.facts]
        return claimed

    async def code(self, order: Order | None = None) -> str:
        """Give the newest code sent, or the newest for one order."""
        await self.collect()
        codes = [
            notice.facts["code"]
            for notice in self.notices
            if "code" in notice.facts and (order is None or notice.facts.get("order_id") == order.id)
        ]
        return str(codes[-1])

    async def authorize(self, payer: str, order: Order, code: str | None = None, key: str | None = None) -> Order:
        """Authorise an order with its code, or with another."""
        typed = code if code is not None else await self.code(order)
        return await self.wallet.authorize(order.id, typed, actor=self.ids[payer], key=key or self.key())

    async def transfer(self, payer: str, payee: str, amount: int, **options: Any) -> Order:
        """Propose and authorise."""
        return await self.authorize(payer, await self.propose(payer, payee, amount, **options))

    async def newcomer(self, phone: str, city: str = "xiamen") -> Person:
        """Log in with a phone that nobody has and open its first wallet."""
        challenge = await self.wallet.start_login(phone, key=self.key())
        await self.wallet.finish_login(challenge.id, await self.code(), key=self.key())
        return await self.wallet.open_account(challenge.id, city=city, key=self.key())

    async def account(self, name: str, city: str = "xiamen") -> int:
        """Give the id of somebody's wallet, or of a city's account of a kind that it has once."""
        user = self.ids.get(name)
        if user is None:
            return self.wallet.context.system[city, name]
        return int((await self.sql("SELECT id FROM accounts WHERE user_id = ? AND city = ?", user, city))[0][0])

    async def merchant(self, place: int = 0, city: str = "xiamen") -> tuple[int, str]:
        """Give the account's id and the number of one of a city's merchants."""
        found = await self.sql("SELECT id, number FROM accounts WHERE kind = 'merchant' AND city = ? ORDER BY id", city)
        return found[place]

    async def bill(self, service: str = "water", city: str = "xiamen") -> tuple[int, int, int]:
        """Give the id of what is due for a service, its amount, and the account of its biller."""
        found = await self.sql(
            "SELECT bills.id, amount, accounts.id FROM bills JOIN billers ON billers.id = biller_id"
            " JOIN accounts ON accounts.id = account_id WHERE service = ? AND city = ?",
            service,
            city,
        )
        return found[0]

    async def share_households(self, name: str) -> None:
        """Let somebody pay the bills of 王小明's households too."""
        await self.sql(
            "INSERT INTO subscriptions (user_id, biller_id, customer_no, customer_index)"
            " SELECT ?, biller_id, customer_no, customer_index FROM subscriptions WHERE user_id = ?",
            *(self.ids[name], self.ids["王小明"]),
        )

    async def card(self, kind: str = "debit", name: str = "王小明") -> int:
        """Give the id of somebody's card of a kind."""
        return next(card.id for card in await self.wallet.cards(self.ids[name]) if card.kind == kind)

    async def standing(self, account: int) -> tuple[int, int]:
        """Give an account's balance and what of it is held, in fen."""
        return (await self.sql("SELECT balance, held FROM accounts WHERE id = ?", account))[0]

    async def give(self, name: str, amount: int, city: str = "xiamen") -> None:
        """Give somebody money from the house's promotions, as far as their wallet may hold it."""
        sides = await self.account("promotions", city), await self.account(name, city)
        await self.wallet.book("top_up", *sides, Fen(amount), key=self.key())

    async def confirmed(self, command: Command) -> Order:
        """Propose any command and authorise it with its code."""
        order = await self.wish(command)
        typed = await self.code(order)
        return await self.wallet.authorize(order.id, typed, actor=command.payer, key=self.key())

    def reopened(self, **options: Any) -> AbstractAsyncContextManager[Wallet]:
        """Open the same database a second time, as another process would."""
        return Wallet.open(self.url, **{"secret": SECRET, "clock": self.clock, "outside": self.outside, **LIMITS, **options})

    async def write(self, statement: Any) -> None:
        """Run a statement of SQLAlchemy's, where values have to be sealed."""
        async with self.wallet.database.write() as connection:
            await connection.execute(statement)

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Run raw SQL, as somebody with the database in their hands would."""
        async with self.wallet.database.write() as connection:
            names = iter(range(len(arguments)))
            portable = text(re.sub(r"\?", lambda _: f":a{next(names)}", statement))
            result = await connection.execute(portable, {f"a{index}": value for index, value in enumerate(arguments)})
            return [tuple(row) for row in result.fetchall()] if result.returns_rows else []


@pytest.fixture(scope="session")
def demo_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """Make the demo database once; each test gets a copy of the file."""
    path = tmp_path_factory.mktemp("demo") / "wallet.db"

    return path, asyncio.run(_load_demo(f"sqlite:///{path}"))


@pytest.fixture
def clock() -> Clock:
    """A clock at noon of a Friday in Shanghai."""
    return Clock()


@pytest.fixture(scope="session")
def quick_server() -> Iterator[postgres.Server]:
    """A PostgreSQL server in memory with the demo in a database named ``demo``."""
    with _server_with_demo(durable=False) as running:
        yield running


@pytest.fixture(scope="session")
def postgresql(quick_server: postgres.Server) -> Callable[[str], str]:
    """Give the URL of a database on the server by its name."""
    return quick_server.url


@pytest.fixture(scope="session")
def durable_server() -> Iterator[postgres.Server]:
    """One that writes through to the disk, for tests that stop it in the middle of things."""
    with _server_with_demo(durable=True) as running:
        yield running


@contextmanager
def _server_with_demo(*, durable: bool) -> Iterator[postgres.Server]:
    pytest.importorskip("asyncpg")
    try:
        with postgres.server(durable=durable) as running:
            asyncio.run(sql_on(running.url("postgres"), "CREATE DATABASE demo"))
            asyncio.run(_load_demo(running.url("demo")))
            yield running
    except postgres.Missing as reason:
        pytest.skip(str(reason))


async def _load_demo(url: str) -> dict[str, int]:
    async with Wallet.open(url, secret=SECRET, clock=Clock()) as wallet:
        return await load(wallet)


async def sql_on(url: str, statement: str) -> None:
    """Run one statement outside any transaction."""
    engine = create_async_engine(parse_url(url), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@pytest.fixture
def new_database(postgresql: Callable[[str], str]) -> Callable[[str, str | None], str]:
    """Makes a database on the server, empty or a copy of another, and gives its URL."""

    def create(name: str, template: str | None) -> str:
        asyncio.run(sql_on(postgresql("postgres"), f"CREATE DATABASE {name} TEMPLATE {template or 'template1'}"))
        return postgresql(name)

    return create


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Callable[[str], str] | None:
    """Gives URLs on the PostgreSQL server for a test that is to run on one, None for SQLite."""
    kinds = {"postgresql": "quick_server", "durable": "durable_server"}
    fixture = kinds.get(getattr(request, "param", "sqlite"))
    return request.getfixturevalue(fixture).url if fixture else None


@pytest.fixture
async def empty(server: Callable[[str], str] | None, tmp_path: Path) -> AsyncIterator[str]:
    """Give the URL of a database with nothing in it."""
    name = f"e{uuid4().hex}"
    if server is None:
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        await sql_on(server("postgres"), f"CREATE DATABASE {name}")
        yield server(name)
        await sql_on(server("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def till(
    request: pytest.FixtureRequest,
    server: Callable[[str], str] | None,
    demo_file: tuple[Path, dict[str, int]],
    tmp_path: Path,
    clock: Clock,
) -> AsyncIterator[Till]:
    """The demo wallet on a database of its own: a copy of the demo's file, or of its database where a module asks for both.

    In a module that says ``WORKING = False`` nothing that is due is done before a test asks for it.
    """
    source, ids = demo_file
    name = f"t{uuid4().hex}"
    if server is None:
        url = f"sqlite:///{tmp_path / 'wallet.db'}"
        shutil.copy(source, tmp_path / "wallet.db")
    else:
        await sql_on(server("postgres"), f"CREATE DATABASE {name} TEMPLATE demo")
        url = server(name)
    outside, working = {"bank": Channel(), "biller": Channel()}, getattr(request.module, "WORKING", True)
    async with Wallet.open(url, secret=SECRET, clock=clock, outside=outside, working=working, **LIMITS) as wallet:
        yield Till(wallet, clock, ids, url, outside)
    if server is not None:
        await sql_on(server("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module that says ``DATABASES`` on each of these kinds."""
    kinds = getattr(metafunc.module, "DATABASES", None)
    said = any("server" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if kinds and "server" in metafunc.fixturenames and not said:
        metafunc.parametrize("server", kinds, indirect=True)


@contextmanager
def refused(code: str, **facts: Any) -> Iterator[None]:
    """Expect a refusal with exactly this code and these facts."""
    with pytest.raises(WalletError) as refusal:
        yield
    assert (refusal.value.code, refusal.value.facts) == (code, facts)


@pytest.fixture(name="refused")
def _refused() -> Callable[..., AbstractContextManager[None]]:
    """Give the expectation of a refusal to tests."""
    return refused
