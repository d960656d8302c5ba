"""A process that is there to be killed: it transfers as fast as it can and notes what it asks and what it was answered."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from wallet_service import CodeLimit, Fen, Transfer, Wallet
from wallet_service.codes import ORDER_CODE, order_text
from wallet_service.errors import ServiceUnavailable
from wallet_service.schema import orders

WORKERS = 4
MOST = 50  # fen


@dataclass(frozen=True)
class Player:
    """Somebody who pays and is paid."""

    user: int
    number: str
    account: int


@dataclass
class Journal:
    """What processes noted before they died: by key what was proposed and booked, by order what was authorised, with what came
    of it."""

    proposals: dict[str, tuple[int, int, int, int | None]] = field(default_factory=dict)  # payer, payee, fen, order
    bookings: dict[str, tuple[int, int, int, int | None]] = field(default_factory=dict)
    authorisations: dict[int, tuple[str, str, int, bool]] = field(default_factory=dict)  # key, code, payer, answered

    @staticmethod
    def read(paths: Iterable[Path]) -> Journal:
        """Read the journals of processes."""
        journal = Journal()
        for line in (line for path in paths for line in path.read_text("ascii").splitlines()):
            event, key, *rest = line.split()
            if event in ("propose", "book"):
                payer, payee, amount = map(int, rest)
                (journal.proposals if event == "propose" else journal.bookings)[key] = payer, payee, amount, None
            elif event in ("proposed", "booked"):
                noted = journal.proposals if event == "proposed" else journal.bookings
                noted[key] = (*noted[key][:3], int(rest[0]))
            elif event == "authorize":
                journal.authorisations[int(rest[0])] = key, rest[1], int(rest[2]), False
            else:
                journal.authorisations[int(rest[0])] = (*journal.authorisations[int(rest[0])][:3], True)
        return journal


async def code_of(wallet: Wallet, order_id: int) -> str:
    """Derive the code that went out for an order, as the courier does."""
    async with wallet.database.read() as connection:
        row = (await connection.execute(select(orders).where(orders.c.id == order_id))).mappings().one()
    return wallet.context.keys.code(ORDER_CODE, order_text(row["kind"], row), row["counter"])


def run(url: str, secret: str, now: datetime, players: list[Player], journal: Path) -> None:
    """Transfer until killed."""
    asyncio.run(_run(url, secret, now, players, journal))


async def _run(url: str, secret: str, now: datetime, players: list[Player], journal: Path) -> None:
    book = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(*words: object) -> None:
        os.write(book, (" ".join(map(str, words)) + "\n").encode())

    limit = CodeLimit(10**6, 10**6)
    async with Wallet.open(url, secret=secret, clock=lambda: now, code_limit=limit, seal_after=0.01) as wallet:
        each = [(work, f"{journal.name}/{number}") for number in range(WORKERS) for work in (_transfer, _book)]
        await asyncio.gather(*(work(wallet, players, name, note) for work, name in each))


async def _transfer(wallet: Wallet, players: list[Player], name: str, note) -> None:
    chance, turn = random.Random(name), 0
    while True:
        turn += 1
        payer, payee = chance.sample(players, 2)
        amount, key = chance.randint(1, MOST), f"{name}/{turn}"
        note("propose", key, payer.user, payee.user, amount)
        command = Transfer(payer.user, payee.number, Fen(amount))
        order = await answered(wallet.propose, command, actor=payer.user, key=key)
        note("proposed", key, order.id)
        code = await answered(code_of, wallet, order.id)
        note("authorize", f"{key}/a", order.id, code, payer.user)
        await answered(wallet.authorize, order.id, code, actor=payer.user, key=f"{key}/a")
        note("posted", f"{key}/a", order.id)


async def _book(wallet: Wallet, players: list[Player], name: str, note) -> None:
    chance, turn = random.Random(f"{name} books"), 0
    while True:
        turn += 1
        payer, payee = chance.sample(players, 2)
        amount, key = chance.randint(1, MOST), f"{name}/b{turn}"
        note("book", key, payer.user, payee.user, amount)
        booked = await answered(wallet.book, "transfer", payer.account, payee.account, Fen(amount), key=key)
        note("booked", key, booked.order_id)
        await asyncio.sleep(chance.uniform(0, 0.01))


async def answered(call, *arguments, **options):
    """Ask again, with the same key, until the database is there."""
    while True:
        try:
            return await call(*arguments, **options)
        except ServiceUnavailable:
            await asyncio.sleep(0.02)
