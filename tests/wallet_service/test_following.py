"""Delayed transfers as their payer follows them: what is on its way, what became of it, and who is told when it arrives."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from wallet_service import Period
from wallet_service.following import _HELD, _TRANSFERS

DATABASES = ("sqlite", "postgresql")
TWO_HOURS, DAY = 7_200, 86_400


async def test_what_is_on_its_way_is_listed_soonest_first(till) -> None:
    """Only what is confirmed and has not arrived, of all wallets or of one city's, by the days of the confirmation."""
    wang = till.ids["王小明"]
    await till.propose("王小明", "李娜", 100, delay=DAY)
    await till.transfer("王小明", "李娜", 200)
    late = await till.transfer("王小明", "李娜", 300, delay=DAY)
    soon = await till.transfer("王小明", "张三丰", 400, delay=TWO_HOURS, city="qingdao")
    await till.transfer("李娜", "张三丰", 500, delay=TWO_HOURS)
    held = await till.wallet.held_orders(wang)
    assert [(order.id, order.recallable) for order in held] == [(soon.id, True), (late.id, True)]
    assert [order.due_at - till.clock.now for order in held] == [timedelta(hours=2), timedelta(days=1)]
    assert [order.id for order in await till.wallet.held_orders(wang, city="xiamen")] == [late.id]
    for day, found in ((20, 2), (21, 0)):
        assert len(await till.wallet.held_orders(wang, Period(date(2026, 11, day), date(2026, 11, day + 1)))) == found
    assert await till.wallet.held_orders(10**9) == () == await till.wallet.held_orders(-1)


async def test_nothing_is_on_its_way_any_more_once_it_is_recalled_or_there(till) -> None:
    """Whichever comes first, and its state tells which."""
    wang = till.ids["王小明"]
    recalled = await till.transfer("王小明", "李娜", 300, delay=TWO_HOURS)
    arrived = await till.transfer("王小明", "李娜", 400, delay=TWO_HOURS)
    await till.wallet.recall(recalled.id, actor=wang, key=till.key())
    till.clock.advance(hours=2)
    await till.wallet.run_due()
    assert await till.wallet.held_orders(wang) == ()
    states = {order.id: (order.status, order.recallable) for order in await till.wallet.transfers(wang, 2)}
    assert states == {recalled.id: ("voided", False), arrived.id: ("posted", False)}


async def test_the_last_transfers_tell_what_became_of_them(till) -> None:
    """Newest first: one that waits for its code, one that expired; what was cancelled or is no transfer is left out."""
    wang = till.ids["王小明"]
    before = await till.wallet.transfers(wang, 1)
    expired = await till.propose("王小明", "李娜", 100)
    till.clock.advance(minutes=6)
    cancelled = await till.propose("王小明", "李娜", 200)
    await till.wallet.cancel(cancelled.id, actor=wang, key=till.key())
    waiting = await till.propose("王小明", "张三丰", 300)
    found = await till.wallet.transfers(wang)
    assert [(order.id, order.status) for order in found] == [
        (waiting.id, "proposed"),
        (expired.id, "expired"),
        (before[0].id, "posted"),
    ]
    assert len(await till.wallet.transfers(wang, 1)) == 1
    assert {order.city for order in await till.wallet.transfers(wang, 50, city="lanzhou")} == {"lanzhou"}
    assert len(await till.wallet.transfers(wang, 10**9)) > 20
    assert await till.wallet.transfers(0) == ()


async def test_who_pays_later_is_told_at_the_confirmation_and_at_the_arrival(till) -> None:
    """Both in their turn; the payee hears of it only when the money is there."""
    wang, li = till.ids["王小明"], till.ids["李娜"]
    await till.collect()
    order = await till.transfer("王小明", "李娜", 300, delay=TWO_HOURS)
    told = [notice for notice in await till.collect() if "code" not in notice.facts]
    assert [(notice.kind, notice.user_id) for notice in told] == [("order_scheduled", wang)]
    assert told[0].facts["due_at"] == order.due_at.isoformat()
    till.clock.advance(hours=2)
    await till.wallet.run_due()
    told = await till.collect()
    assert sorted((notice.kind, notice.user_id) for notice in told) == [("money_received", li), ("transfer_arrived", wang)]
    assert {notice.facts["at"] for notice in told} == {till.clock.now.isoformat()}


async def test_chats_are_told_only_what_was_not_said_there(till) -> None:
    """Confirming and recalling are answered in the chat itself; an arrival comes by itself, so every chat hears of it."""
    wang = till.ids["王小明"]
    await till.collect()
    kept = await till.transfer("王小明", "李娜", 300, delay=TWO_HOURS)
    recalled = await till.transfer("王小明", "李娜", 400, delay=TWO_HOURS)
    await till.wallet.recall(recalled.id, actor=wang, key=till.key())
    till.clock.advance(hours=2)
    await till.wallet.run_due()
    ways = {(notice.kind, notice.channel) for notice in await till.wallet.claim_notices(100) if notice.user_id == wang}
    assert ("transfer_arrived", "doors") in ways
    assert not ways & {("order_scheduled", "doors"), ("order_recalled", "doors")}
    assert {("order_recalled", "held"), ("order_recalled", "sms")} <= ways
    assert (await till.wallet.order(kept.id, actor=wang)).status == "posted"


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
async def test_looking_costs_the_same_however_much_there_was(till) -> None:
    """What is on its way is found by the index of what is held, the last transfers by that of who acted."""
    for statement, index in ((_HELD, "ix_orders_authorised"), (_TRANSFERS, "ix_orders_actor_id")):
        written = str(statement.compile(till.wallet.database._reader.sync_engine, compile_kwargs={"render_postcompile": True}))
        plan = " ".join(row[-1] for row in await till.sql(f"EXPLAIN QUERY PLAN {written}", *[None] * written.count("?")))
        assert index in plan, plan
        assert "SCAN" not in plan, plan
