"""kill -9 in the middle of a load of transfers, of the processes that do them and of the server that keeps them."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert

from tests.wallet_service import load
from tests.wallet_service.conftest import SECRET, Till
from tests.wallet_service.load import Journal, Player
from wallet_service import Fen, Transfer
from wallet_service.schema import contacts

DATABASES = ("sqlite", "postgresql")
KILLS = 10
PROCESSES = 2  # of four workers each
NAMES = ("王小明", "李娜", "陈建国")


async def play(till: Till) -> list[Player]:
    """Let the players know each other; they have some money and pay each other."""
    ids = [till.ids[name] for name in NAMES]
    known = {tuple(row) for row in await till.sql("SELECT owner_id, user_id FROM contacts")}
    wanted = [(one, other) for one in ids for other in ids if one != other and (one, other) not in known]
    await till.write(insert(contacts).values([{"owner_id": one, "user_id": other, "name": "x"} for one, other in wanted]))
    return [Player(till.ids[name], await till.number(name), await till.account(name)) for name in NAMES]


@contextmanager
def processes(till: Till, players: list[Player], folder: Path, name: str) -> Iterator[list[multiprocessing.Process]]:
    """Run the load in processes of their own; they are killed at the end, whatever they are at."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.wallet_service.load"])
    given = (till.url, SECRET, till.clock.now, players)
    running = [context.Process(target=load.run, args=(*given, folder / f"{name}-{number}")) for number in range(PROCESSES)]
    for process in running:
        process.start()
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.join()


async def settle(till: Till, players: list[Player], folder: Path, before: Counter[int], *, under_way: str = "*") -> int:
    """Ask again what was under way by the journals ``under_way`` (a pattern of names), hold the books against all journals, and
    give how many confirmed transfers were answered."""
    journal, broken_off = Journal.read(folder.iterdir()), Journal.read(folder.glob(under_way))
    answered = sum(done for *_, done in journal.authorisations.values())
    numbers, of = {player.user: player.number for player in players}, {player.user: player.account for player in players}
    async with till.reopened() as wallet:
        for key, (payer, payee, amount, known) in broken_off.proposals.items():
            if known is None:
                command = Transfer(payer, numbers[payee], Fen(amount))
                orders = [await wallet.propose(command, actor=payer, key=key) for _ in range(2)]
                assert orders[0] == orders[1]
        for key, (payer, payee, amount, known) in broken_off.bookings.items():
            booked = [await wallet.book("transfer", of[payer], of[payee], Fen(amount), key=key) for _ in range(2 - bool(known))]
            assert {each.order_id for each in booked} == {known or booked[0].order_id}
        for order_id, (key, code, payer, done) in broken_off.authorisations.items():
            if not done:
                receipts = [await wallet.authorize(order_id, code, actor=payer, key=key) for _ in range(2)]
                assert receipts[0] == receipts[1]
                assert receipts[0].status == "posted"
        await wallet.seal()
        report = await wallet.verify()
    assert report.faults == ()
    moved = await till.sql(
        "SELECT o.id, o.actor_id, f.user_id, p.user_id, o.amount FROM orders o JOIN accounts f ON f.id = o.payer_id"
        " JOIN accounts p ON p.id = o.payee_id WHERE o.created_at = ?",
        _ms(till),
    )
    wished = Counter((payer, payee, amount) for payer, payee, amount, _ in journal.proposals.values())
    assert Counter(tuple(row[2:]) for row in moved if row[1]) == wished  # each key made one order
    wished = Counter((payer, payee, amount) for payer, payee, amount, _ in journal.bookings.values())
    assert Counter(tuple(row[2:]) for row in moved if not row[1]) == wished
    posted = await till.sql("SELECT order_id FROM entries JOIN orders o ON o.id = order_id WHERE o.created_at = ?", _ms(till))
    confirmed = {order_id for order_id, actor, *_ in moved if not actor} | journal.authorisations.keys()
    assert sorted(order for (order,) in posted) == sorted(confirmed)  # each confirmed order moved once
    expected = Counter(before)
    for order_id, _, payer, payee, amount in moved:
        if order_id in confirmed:
            expected[payer] -= amount
            expected[payee] += amount
    assert await balances(till) == expected
    return answered


def _ms(till: Till) -> int:
    return int(till.clock.now.timestamp() * 1000)


async def balances(till: Till) -> Counter[int]:
    """Give what each player holds."""
    return Counter({till.ids[name]: await till.held_by(name) for name in NAMES})


async def test_processes_killed_again_and_again(till, tmp_path) -> None:
    """After each kill the books are whole: what was answered is there, nothing twice, and every key under way ends in one
    result, for good."""
    folder = tmp_path / "journals"
    folder.mkdir()
    players, before, chance = await play(till), await balances(till), random.Random(7)
    answered = 0
    for kill in range(KILLS):
        with processes(till, players, folder, str(kill)) as running:
            await under_load(running, folder, kill)
            await asyncio.sleep(chance.uniform(0, 0.1))
        now = await settle(till, players, folder, before, under_way=f"{kill}-*")
        assert now > answered
        answered = now
    assert await settle(till, players, folder, before) == answered  # every key once more: nothing is done anew


async def under_load(running: list[multiprocessing.Process], folder: Path, kill: int) -> None:
    """Wait until each of the processes has had an answer."""
    paths = [folder / f"{kill}-{number}" for number in range(PROCESSES)]
    while not all(path.exists() and "posted" in path.read_text("ascii") for path in paths):
        assert all(process.is_alive() for process in running)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("server", ["durable"], indirect=True)
async def test_a_server_killed_again_and_again(till, durable_server, tmp_path) -> None:
    """The processes live on and ask again by themselves; the server is killed under them three times."""
    folder = tmp_path / "journals"
    folder.mkdir()
    players, before = await play(till), await balances(till)
    with processes(till, players, folder, "0") as running:
        await under_load(running, folder, 0)
        for _ in range(3):
            await asyncio.to_thread(durable_server.stop, "immediate")
            await asyncio.to_thread(durable_server.start)
            answered = count(folder)
            while count(folder) < answered + 20:
                assert all(process.is_alive() for process in running)
                await asyncio.sleep(0.02)
    assert await settle(till, players, folder, before) >= 60


def count(folder: Path) -> int:
    """Count the transfers that were answered."""
    return sum(path.read_text("ascii").count("posted") for path in folder.iterdir())
