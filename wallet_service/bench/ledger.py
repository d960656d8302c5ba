"""The till's own figures: postings and whole transfers by several callers, each answered after its commit."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from wallet_service.bench import cluster, reference
from wallet_service.bench.town import CITY, Town, build
from wallet_service.codes import ORDER_CODE, order_text
from wallet_service.commands import Transfer
from wallet_service.context import CodeLimit
from wallet_service.database import parse_url
from wallet_service.money import Fen
from wallet_service.orders import load_order
from wallet_service.wallet import Wallet

_NO_LIMIT = CodeLimit(per_ten_minutes=10**9, per_day=10**9)
_SECRET = "the benchmark's own passing secret"
_TURN = 2.5  # seconds of each in one go
_FEW = 1_000  # wallets in the town that a larger one is compared with
_TURNS = 6  # in which the price in either is measured
_READS = 200  # balances a turn that are read for their price

Run = Callable[[int, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: callers at once, seconds of each measurement, one payee for all or not, and how many wallets there are."""

    clients: int = 16
    seconds: float = 5.0
    hot: bool = False
    accounts: int = 1_000


@asynccontextmanager
async def _databases(url: str | None) -> AsyncIterator[list[str]]:
    """Give the databases: SQLite, and PostgreSQL on the server of ``url``, or on one of our own if it can be had."""
    if url is None or not url.startswith("postgresql"):
        try:
            with cluster.server(durable=True) as server:
                yield ["sqlite://", server.url("postgres")]
        except cluster.Missing:
            yield ["sqlite://"]
        return
    yield ["sqlite://", url]


@asynccontextmanager
async def _own_database(url: str) -> AsyncIterator[str]:
    """Give a database of the benchmark's own on a server, and drop it afterwards; SQLite has a passing file."""
    if url.startswith("sqlite"):
        yield url
        return
    name = f"zhanggui_bench_{uuid4().hex[:8]}"
    engine = create_async_engine(parse_url(url), isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
        yield parse_url(url).set(drivername="postgresql", database=name).render_as_string(hide_password=False)
        async with engine.connect() as connection:
            await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        await engine.dispose()


async def bench_ledger(plan: Plan, *, url: str | None = None) -> list[dict[str, Any]]:
    """Measure postings against the reference, one caller alone, and whole transfers with their codes, on each database."""
    rows = []
    async with _databases(url) as urls:
        for each in urls:
            async with (
                _own_database(each) as own,
                _own_database(each) as others,  # the reference signs nothing: its rows would not be verified
                Wallet.open(own, secret=_SECRET, code_limit=_NO_LIMIT) as wallet,
                Wallet.open(others, secret=_SECRET, working=False) as plain,
            ):
                rows += await _measure(wallet, plain, others, plan)
    return rows


async def _measure(wallet: Wallet, plain: Wallet, url: str, plan: Plan) -> list[dict[str, Any]]:
    """Measure postings and the reference by turns, so that both meet the same machine; then the rest."""
    town, theirs = await build(wallet.context, plan.accounts), await build(plain.context, plan.accounts)
    mark = {"bench": "ledger", "database": "sqlite" if url.startswith("sqlite") else "postgresql", "accounts": plan.accounts}
    post, rounds = _poster(wallet, town, hot=plan.hot), max(1, round(plan.seconds / _TURN))
    each = plan.seconds / rounds
    await _clients(post, plan.clients, min(plan.seconds, 1.0))  # a warm start for everybody
    runs, bases, missing = [], [], ""
    for _ in range(rounds):
        runs.append(await _clients(post, plan.clients, each))
        try:
            bases.append(await _reference(plain, url, theirs, plan, each))
        except reference.Missing as reason:
            missing = str(reason)
    alone = await _clients(post, 1, plan.seconds / 2)
    whole = await _clients(_transferrer(wallet, town), plan.clients, plan.seconds / 2)
    await wallet.seal()
    ours: dict[str, Any] = {**mark, "what": "posting", "hot": plan.hot, **_figures(plan.clients, *runs)}
    ours["verified"] = (await wallet.verify()).ok
    if missing:
        ours["reference"] = missing
    else:
        base = statistics.mean(bases)
        ours["reference"] = "one transaction a transfer" if wallet.database.is_sqlite else "pgbench"
        ours |= {"reference_per_second": round(base, 1), "ratio": round(ours["transfers_per_second"] / base, 2)}
    return [
        ours,
        {**mark, "what": "posting", "hot": plan.hot, **_figures(1, alone)},
        {**mark, "what": "transfer with its code", **_figures(plan.clients, whole)},
    ]


async def _reference(wallet: Wallet, url: str, town: Town, plan: Plan, seconds: float) -> float:
    if wallet.database.is_sqlite:
        return await reference.naive(wallet.context, town, clients=plan.clients, seconds=seconds, hot=plan.hot)
    return await reference.pgbench(url, town, clients=plan.clients, seconds=seconds, hot=plan.hot)


async def bench_scale(plan: Plan, *, url: str | None = None) -> list[dict[str, Any]]:
    """Measure what one posting and one balance cost one caller among 1,000 wallets and among ``plan.accounts``, by turns."""
    rows = []
    async with _databases(url) as urls:
        for each in urls:
            async with (
                _own_database(each) as few,
                _own_database(each) as many,
                Wallet.open(few, secret=_SECRET) as small,
                Wallet.open(many, secret=_SECRET) as large,
            ):
                prices = [await _Price.of(small, _FEW), await _Price.of(large, plan.accounts)]
                await asyncio.to_thread(os.sync)  # what was just written is not to be written out meanwhile
                for _ in range(_TURNS):
                    for price in prices:
                        await price.measure(plan.seconds / _TURNS)
            few_ms, many_ms = (price.row() for price in prices)
            ratios = {f"{name}_ratio": round(many_ms[name] / few_ms[name], 2) for name in ("posting_ms", "balance_ms")}
            rows += [few_ms, {**many_ms, **ratios}]
    return rows


@dataclass(slots=True)
class _Price:
    """What a posting and a balance cost in one town, measured bit by bit."""

    wallet: Wallet
    town: Town
    postings: list[float] = field(default_factory=list)
    balances: list[float] = field(default_factory=list)

    @staticmethod
    async def of(wallet: Wallet, size: int) -> _Price:
        """Build the town, and leave the server nothing to tidy up."""
        price = _Price(wallet, await build(wallet.context, size))
        if not wallet.database.is_sqlite:
            async with wallet.database.read() as connection:
                await connection.execute(text("VACUUM ANALYZE"))
        return price

    async def measure(self, seconds: float) -> None:
        """Post and read for a while, after a warm start."""
        post = _poster(self.wallet, self.town, hot=False)
        await _clients(post, 1, seconds / 4)
        self.postings += (await _clients(post, 1, seconds)).took
        for _ in range(_READS):
            started = time.perf_counter()
            await self.wallet.balance(random.choice(self.town.users))
            self.balances.append(time.perf_counter() - started)

    def row(self) -> dict[str, Any]:
        """Give the medians in milliseconds."""
        kind = "sqlite" if self.wallet.database.is_sqlite else "postgresql"
        medians = {
            f"{name}_ms": round(statistics.median(took) * 1000, 3)
            for name, took in (("posting", self.postings), ("balance", self.balances))
        }
        return {"bench": "ledger", "database": kind, "accounts": len(self.town.users), **medians}


def _poster(wallet: Wallet, town: Town, *, hot: bool) -> Run:
    """Give the caller of one posting of a fen: to the shop, or to anybody of the paid half."""
    run, half = uuid4().hex, len(town.accounts) // 2
    kind = "pay" if hot else "transfer"

    async def post(client: int, turn: int) -> None:
        payer = town.accounts[random.choice(town.payers)]
        payee = town.shop if hot else town.accounts[random.randrange(half, len(town.accounts))]
        await wallet.book(kind, payer, payee, Fen(1), key=f"{run}/{client}/{turn}")

    return post


def _transferrer(wallet: Wallet, town: Town) -> Run:
    """Give the caller of one whole transfer to a friend: proposal, code and posting."""
    run, half = uuid4().hex, len(town.accounts) // 2

    async def transfer(client: int, turn: int) -> None:
        payer = random.choice(town.payers)
        payee = town.numbers[half + payer]
        actor, key = town.users[payer], f"{run}/{client}/{turn}"
        order = await wallet.propose(Transfer(actor, payee, Fen(1), city=CITY), actor=actor, key=f"{key}/propose")
        async with wallet.database.read() as connection:  # what the phone would have been sent
            row = await load_order(connection, order.id, actor)
        code = wallet.context.keys.code(ORDER_CODE, order_text(row["kind"], row), row["counter"])
        await wallet.authorize(order.id, code, actor=actor, key=f"{key}/authorize")

    return transfer


@dataclass(frozen=True, slots=True)
class _Measured:
    """How long each call took, and all of them together, in seconds."""

    took: list[float]
    elapsed: float


async def _clients(run: Run, clients: int, seconds: float) -> _Measured:
    """Let clients call one after the other for a while."""
    took: list[float] = []
    begun = uuid4().int % 10**9
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        turn = begun
        while (started := time.perf_counter()) < until:
            await run(number, turn)
            took.append(time.perf_counter() - started)
            turn += 1

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return _Measured(took, time.perf_counter() - started)


def _figures(clients: int, *runs: _Measured) -> dict[str, Any]:
    """Give rate and latencies of all runs together."""
    took, elapsed = [each for run in runs for each in run.took], sum(run.elapsed for run in runs)
    cuts = statistics.quantiles(took, n=100, method="inclusive") if len(took) > 1 else [*took, 0.0][:1] * 99
    return {
        "clients": clients,
        "seconds": round(elapsed, 3),
        "transfers": len(took),
        "transfers_per_second": round(len(took) / elapsed, 1),
        "p50_ms": round(cuts[49] * 1000, 2),
        "p95_ms": round(cuts[94] * 1000, 2),
        "p99_ms": round(cuts[98] * 1000, 2),
    }
