"""Many at once: no fen is spent twice, none is lost."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import cycle

import pytest
from sqlalchemy import update

from wallet_service import PayBill, Wallet, WalletError
from wallet_service.schema import orders

DATABASES = ("sqlite", "postgresql")


async def _try(wallet: Wallet, till, order, code, payer: str = "李娜") -> str:
    try:
        done = await wallet.authorize(order.id, code, actor=till.ids[payer], key=till.key())
    except WalletError as refusal:
        return refusal.code
    return done.status


async def test_two_hundred_spenders_of_one_balance(till) -> None:
    """200 confirmed orders of 10 yuan race for 800 yuan in four processes: 80 are posted, 120 refused, nothing is left."""
    orders = await asyncio.gather(*(till.propose("李娜", "张三丰", 1_000) for _ in range(200)))
    await till.collect()
    codes = [await till.code(order) for order in orders]
    async with AsyncExitStack() as stack:
        wallets = cycle([till.wallet, *[await stack.enter_async_context(till.reopened()) for _ in range(3)]])
        tries = (_try(next(wallets), till, order, code) for order, code in zip(orders, codes, strict=True))
        outcomes = await asyncio.gather(*tries)
    assert (outcomes.count("posted"), outcomes.count("insufficient_funds")) == (80, 120)
    assert (await till.held_by("李娜"), await till.held_by("张三丰")) == (0, 80_000)
    assert (await till.wallet.verify()).faults == ()


async def test_one_bill_paid_by_many_at_once(till) -> None:
    """Two people confirm one bill, three times each, at one moment in two processes: one order pays, the others are refused."""
    bill, _, _ = await till.bill()
    await till.share_households("李娜")
    payers = ["王小明", "李娜", "王小明", "李娜", "王小明", "李娜"]
    orders = [await till.wish(PayBill(till.ids[payer], bill)) for payer in payers]
    codes = [await till.code(order) for order in orders]
    async with till.reopened(working=False) as other:
        wallets = cycle([till.wallet, other])
        outcomes = await asyncio.gather(
            *(_try(next(wallets), till, order, code, payer) for payer, order, code in zip(payers, orders, codes, strict=True))
        )
    assert sorted(outcomes) == ["authorised"] + ["bill_paid"] * 5
    assert await till.sql("SELECT COUNT(*) FROM orders WHERE bill_id = ? AND status IN ('authorised', 'posted')", bill) == [(1,)]
    assert (await till.wallet.verify()).faults == ()


@pytest.mark.parametrize("company", [0, 1])
@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
async def test_a_bill_paid_by_somebody_who_has_not_committed_yet(till, company) -> None:
    """The index that makes a bill be paid once ends the wait for the other one as a refusal; nobody in the batch is harmed."""
    bill, _, _ = await till.bill()
    await till.share_households("李娜")
    first, second = [await till.wish(PayBill(till.ids[payer], bill)) for payer in ("王小明", "李娜")]
    confirmed = [second, *[await till.propose("李娜", "王小明", 100) for _ in range(company)]]
    codes = [await till.code(order) for order in confirmed]
    async with till.wallet.database.write() as connection:
        paid = update(orders).where(orders.c.id == first.id).values(status="authorised", authorised_at=till.clock.now)
        await connection.execute(paid)
        tries = (_try(till.wallet, till, order, code) for order, code in zip(confirmed, codes, strict=True))
        waiting = asyncio.gather(*tries)
        await asyncio.sleep(0.2)
        assert not waiting.done()
    assert await waiting == ["bill_paid", *["posted"] * company]
    assert (await till.wallet.order(second.id, actor=till.ids["李娜"])).status == "refused"


async def test_money_in_a_circle(till) -> None:
    """Transfers both ways between two wallets at once keep their sum."""
    pairs = [("王小明", "李娜"), ("李娜", "王小明")] * 10
    orders = [await till.propose(payer, payee, 100 + index) for index, (payer, payee) in enumerate(pairs)]
    codes = [await till.code(order) for order in orders]
    await asyncio.gather(*(till.authorize(pair[0], order, code) for pair, order, code in zip(pairs, orders, codes, strict=True)))
    assert await till.held_by("王小明") + await till.held_by("李娜") == 580_000
    assert await till.held_by("王小明") == 500_010  # each of the ten rounds pays one fen more back than out


async def test_a_caller_that_goes_away_breaks_nothing(till) -> None:
    """Authorising is cut off at thirty different moments; repeating the key always ends in exactly one posting."""
    for moment in range(30):
        order = await till.propose("王小明", "李娜", 100)
        code = await till.code(order)
        task = asyncio.create_task(till.authorize("王小明", order, code, key=f"cut/{moment}"))
        await asyncio.sleep(moment * 0.0004)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await till.authorize("王小明", order, code, key=f"cut/{moment}")).status == "posted"
    assert await till.held_by("王小明") == 500_000 - 30 * 100
    assert (await till.wallet.verify()).faults == ()


async def test_a_cancellation_waits_for_the_transaction(till) -> None:
    """All or nothing: SQLite commits what was under way, PostgreSQL takes it back; the lock is free, the caller cancelled."""
    started, (first, second) = asyncio.Event(), (till.ids["王小明"], till.ids["李娜"])

    async def move() -> None:
        async with till.wallet.database.write() as connection:
            started.set()
            await connection.exec_driver_sql(f"UPDATE users SET default_city = 'lanzhou' WHERE id = {first}")
            await connection.exec_driver_sql(f"UPDATE users SET default_city = 'shanxi' WHERE id = {second}")

    task = asyncio.create_task(move())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    cities = await till.sql("SELECT default_city FROM users WHERE id IN (?, ?) ORDER BY id", first, second)
    assert cities == ([("lanzhou",), ("shanxi",)] if till.wallet.database.is_sqlite else [("xiamen",), ("xiamen",)])


async def test_a_brake_cannot_be_raced(till) -> None:
    """Twelve log-ins for one phone at once, from two wallets: as many codes as the limit says."""
    async with till.reopened() as other:
        asked = (wallet.start_login("13800000002", key=till.key()) for wallet in (till.wallet, other) for _ in range(6))
        results = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(getattr(result, "code", "sent") for result in results) == ["sent"] * 3 + ["too_many_codes"] * 9


async def test_opposite_payments_and_repeats_at_once(till) -> None:
    """Both ways between two people, each from two wallets with one key: every one is posted once, none ends in an error."""
    pairs = [("王小明", "李娜"), ("李娜", "王小明")] * 8
    orders = [await till.propose(payer, payee, 100) for payer, payee in pairs]
    codes = [await till.code(order) for order in orders]
    async with till.reopened() as other:
        outcomes = await asyncio.gather(
            *(
                wallet.authorize(order.id, code, actor=till.ids[pair[0]], key=f"both/{order.id}")
                for pair, order, code in zip(pairs, orders, codes, strict=True)
                for wallet in (till.wallet, other)
            )
        )
    assert {outcome.status for outcome in outcomes} == {"posted"}
    assert await till.sql("SELECT COUNT(*) FROM entries WHERE order_id >= ?", orders[0].id) == [(16,)]
    assert (await till.wallet.verify()).faults == ()
