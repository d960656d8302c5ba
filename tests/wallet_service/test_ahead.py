"""Decided on what this process knows, while the batch before is being written: never on what is not so any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import update

from wallet_service import Fen, combining, idempotency, remembered
from wallet_service.booking import Book
from wallet_service.combining import Combiner
from wallet_service.errors import InsufficientFunds, PayeeUnavailable, WalletFrozen
from wallet_service.schema import accounts
from wallet_service.standing import change_user

DATABASES = ("postgresql",)
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
WORKING = False


@pytest.fixture
def by_locks(monkeypatch) -> list[int]:
    """Give the sizes of the batches that went by locks."""
    sizes: list[int] = []
    real = combining._transact

    async def counting(context, batch, begin, **options):
        sizes.append(len(batch))
        return await real(context, batch, begin, **options)

    monkeypatch.setattr(combining, "_transact", counting)
    return sizes


async def _book(till, wallet, payer: str, payee: str, amount: int) -> Book:
    accounts = await till.account(payer), await till.account(payee)
    return await wallet.book("transfer", *accounts, Fen(amount), key=till.key())


async def test_a_thousand_go_ahead(till, by_locks) -> None:
    """Forty callers of one payee, one after the other: nothing is locked, everybody is answered, and each fen is counted once."""

    async def caller() -> None:
        for _ in range(25):
            await _book(till, till.wallet, "王小明", "李娜", 1)

    await asyncio.gather(*(caller() for _ in range(40)))
    assert by_locks == []
    assert (await till.held_by("王小明"), await till.held_by("李娜")) == (499_000, 81_000)
    assert (await till.wallet.verify()).faults == ()


@asynccontextmanager
async def _running(till, monkeypatch) -> AsyncIterator[None]:
    """Keep a run of the combiner going, in which what it knows of 王小明 and 李娜 grows old, until somebody else waits."""
    real, known, done = Combiner._next, asyncio.Event(), asyncio.Event()

    async def waiting(combiner, **options):
        if combiner is till.wallet._combiner and not known.is_set():
            known.set()
            await done.wait()
        return await real(combiner, **options)

    monkeypatch.setattr(Combiner, "_next", waiting)
    has = await till.held_by("王小明")
    first = asyncio.create_task(_book(till, till.wallet, "李娜", "王小明", 1))
    await known.wait()
    while await till.held_by("王小明") == has:
        await asyncio.sleep(0.01)
    yield
    while not till.wallet._combiner._queue:
        await asyncio.sleep(0.01)
    done.set()
    await first


async def test_what_another_process_took_is_not_spent_twice(till, monkeypatch, by_locks) -> None:
    """This process knows a wallet with money in it, another one empties it: the refusal names what is there now."""
    async with till.reopened() as other, _running(till, monkeypatch):
        await _book(till, other, "李娜", "王小明", 79_990)
        late = asyncio.create_task(_book(till, till.wallet, "李娜", "王小明", 10))
    with pytest.raises(InsufficientFunds) as refusal:
        await late
    assert (refusal.value.facts["available"], by_locks) == (9, [1])


async def test_what_another_process_gave_can_be_spent(till, monkeypatch, by_locks) -> None:
    """This process knows an empty wallet, and would refuse; the money that another one has put there since is found."""
    await _book(till, till.wallet, "李娜", "王小明", 79_999)
    async with till.reopened() as other, _running(till, monkeypatch):
        await _book(till, other, "王小明", "李娜", 50)
        late = asyncio.create_task(_book(till, till.wallet, "李娜", "王小明", 50))
    await late
    assert (await till.held_by("李娜"), by_locks) == (0, [1])


@pytest.mark.parametrize(("frozen", "refusal"), [("李娜", WalletFrozen), ("王小明", PayeeUnavailable)])
async def test_whom_another_process_froze_neither_pays_nor_is_paid(till, monkeypatch, frozen, refusal) -> None:
    """Both accounts are known and unchanged; a freeze of either owner counts from its commit on."""
    async with till.reopened() as other, _running(till, monkeypatch):
        await other.freeze(till.ids[frozen], key=till.key())
        late = asyncio.create_task(_book(till, till.wallet, "李娜", "王小明", 1))
    with pytest.raises(refusal):
        await late
    assert await till.held_by("李娜") == 79_999


@pytest.mark.parametrize("which", [1, 2, 3])
async def test_a_batch_on_what_did_not_come_to_be_is_decided_anew(till, monkeypatch, by_locks, which) -> None:
    """A row is changed under the batch that is being written, while the next is decided on it: both hold in the end."""
    real, written = Combiner._write, []

    async def overtaken(*arguments):
        written.append(None)
        if len(written) == which:
            async with till.reopened() as other:
                await _book(till, other, "张三丰", "李娜", 0 + 1)
        await real(*arguments)

    await _book(till, till.wallet, "王小明", "张三丰", 5)
    monkeypatch.setattr(Combiner, "_write", overtaken)
    await asyncio.gather(*(_book(till, till.wallet, "王小明", "李娜", 2) for _ in range(30)))
    assert sum(by_locks) >= 1
    assert (await till.held_by("王小明"), await till.held_by("李娜")) == (500_000 - 65, 80_061)
    assert (await till.wallet.verify()).faults == ()


async def test_two_processes_on_the_same_accounts(till) -> None:
    """Each finds again and again that the other was faster: nobody is refused, nothing is lost, and the books hold."""

    async def caller(wallet, names) -> None:
        for _ in range(20):
            await _book(till, wallet, *names, 1)

    pairs = [("王小明", "李娜"), ("李娜", "王小明"), ("王小明", "张三丰")]
    async with till.reopened() as other:
        await asyncio.gather(*(caller(wallet, pair) for wallet in (till.wallet, other) for pair in pairs for _ in range(6)))
    held = [await till.held_by(name) for name in ("王小明", "李娜", "张三丰")]
    assert held == [500_000 - 240, 80_000, 240]
    assert (await till.wallet.verify()).faults == ()


async def test_one_that_breaks_the_database_harms_no_other(till, by_locks) -> None:
    """A kind that no order may have, among forty that are under way one half after the other: it fails alone."""
    accounts = await till.account("王小明"), await till.account("李娜")
    wishes = [Book("transfer", *accounts, 1, "", till.key()) for _ in range(40)]
    wishes[30] = Book("gift", *accounts, 1, "", till.key())
    outcomes = await asyncio.gather(*(till.wallet._combiner.submit(wish) for wish in wishes), return_exceptions=True)
    assert [place for place, each in enumerate(outcomes) if isinstance(each, Exception)] == [30]
    assert await till.held_by("李娜") == 80_039
    assert by_locks


def test_what_is_remembered_has_its_bounds(monkeypatch) -> None:
    """The least used account is forgotten first, and what is given out is a copy."""
    monkeypatch.setattr(remembered, "MOST", 3)
    memory = remembered.Remembered()
    for number in range(3):
        memory.keep({number: {"id": number}})
    memory.recall([0])[0]["id"] = 7
    memory.keep({3: {"id": 3}})
    assert memory.recall([0, 1, 2, 3]) == {0: {"id": 0}, 2: {"id": 2}, 3: {"id": 3}}


async def test_two_wallets_of_one_owner(till, monkeypatch) -> None:
    """One of them is known from before a freeze, the other is read after it: neither may pay or be paid."""
    known, promotions = await till.account("李娜"), await till.account("promotions")
    unknown, friend = await till.account("李娜", "qingdao"), await till.account("张三丰")
    async with till.reopened() as other, _running(till, monkeypatch):
        await other.freeze(till.ids["李娜"], key=till.key())
        paying = asyncio.create_task(till.wallet.book("transfer", known, friend, Fen(77), key=till.key()))
        paid = asyncio.create_task(till.wallet.book("top_up", promotions, unknown, Fen(5), key=till.key()))
        await asyncio.sleep(0)
    with pytest.raises(WalletFrozen):
        await paying
    with pytest.raises(WalletFrozen):
        await paid
    assert await till.held_by("张三丰") == 0


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize(("frozen", "refusal"), [("李娜", WalletFrozen), ("王小明", PayeeUnavailable)])
async def test_a_freeze_that_a_posting_has_waited_for_counts(till, monkeypatch, ahead, frozen, refusal) -> None:
    """The posting begins while the freeze is not committed yet, and waits for the account: it is judged by what it finds then."""
    if not ahead:
        monkeypatch.setattr(Combiner, "_may_go_ahead", lambda *_: False)
    await _book(till, till.wallet, "李娜", "王小明", 1)
    async with till.reopened() as other:
        async with other.database.write() as connection:
            await change_user(connection, till.ids[frozen], status="frozen")
            late = asyncio.create_task(_book(till, till.wallet, "李娜", "王小明", 1))
            async with asyncio.timeout(30):
                while await till.sql(_WAITING) == [(0,)]:
                    await asyncio.sleep(0.01)
        with pytest.raises(refusal):
            await late
    assert await till.held_by("李娜") == 79_999


@pytest.mark.parametrize("ahead", [True, False])
async def test_whoever_goes_away_leaves_their_fault_to_nobody(till, monkeypatch, ahead) -> None:
    """What breaks the database is under way when its caller is cancelled, and another wish waits: that one is done."""
    accounts = await till.account("promotions"), await till.account("李娜")
    started, go_on = asyncio.Event(), asyncio.Event()

    def held(real):
        async def hold(*arguments, **options):
            started.set()
            await go_on.wait()
            return await real(*arguments, **options)

        return hold

    name = "_write" if ahead else "_settle"
    monkeypatch.setattr(Combiner, name, held(getattr(Combiner, name)))
    if not ahead:
        monkeypatch.setattr(Combiner, "_may_go_ahead", lambda *_: False)
    broken = asyncio.create_task(till.wallet._combiner.submit(Book("gift", *accounts, 1, "", till.key())))
    await started.wait()
    other = asyncio.create_task(till.wallet._combiner.submit(Book("top_up", *accounts, 1, "", till.key())))
    await asyncio.sleep(0.05)
    broken.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await other
    assert await till.held_by("李娜") == 80_001


@pytest.mark.parametrize("ahead", [True, False])
async def test_a_freeze_and_postings_never_wait_in_a_circle(till, monkeypatch, ahead) -> None:
    """A person's wallets are locked in one order by everybody, in whatever order they lie in the table."""
    if not ahead:
        monkeypatch.setattr(Combiner, "_may_go_ahead", lambda *_: False)
    wallets = await till.account("李娜"), await till.account("李娜", "qingdao")
    await till.write(update(accounts).where(accounts.c.id == min(wallets)).values(user_id=accounts.c.user_id))
    states, real = [], idempotency.is_lost_race

    def noting(error) -> bool:
        states.append(getattr(error.orig, "sqlstate", None))
        return real(error)

    monkeypatch.setattr(idempotency, "is_lost_race", noting)
    monkeypatch.setattr(combining, "is_lost_race", noting)

    async def caller() -> None:
        for _ in range(15):
            with contextlib.suppress(WalletFrozen):
                await till.wallet.book("transfer", *wallets, Fen(1), key=till.key())

    async with till.reopened() as other:

        async def freezer() -> None:
            for _ in range(15):
                await other.freeze(till.ids["李娜"], key=till.key())
                await other.lift_freeze(till.ids["李娜"], agent="a", key=till.key())

        await asyncio.gather(freezer(), *(caller() for _ in range(12)))
    assert "40P01" not in states
    assert (await till.wallet.verify()).faults == ()
