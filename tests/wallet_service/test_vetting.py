"""The look at a payment when it is proposed: who is asked, warned, delayed or refused, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from wallet_service import Fen, Transfer
from wallet_service.schema import contacts, decisions, orders, surname_checks, users

DATABASES = ("sqlite", "postgresql")
LARGE = 200_000  # of a class 3 wallet


async def kept(till: Any) -> list[Any]:
    """Give the decisions, oldest first."""
    async with till.wallet.database.read() as connection:
        return list((await connection.execute(select(decisions).order_by(decisions.c.id))).all())


async def befriend(till: Any, owner: str, friend: str) -> None:
    """Put somebody into another's contacts."""
    await till.write(insert(contacts).values(owner_id=till.ids[owner], user_id=till.ids[friend], name=friend))


async def enrich(till: Any, name: str) -> None:
    """Give somebody enough for a large payment, unseen by the rules."""
    await till.sql("UPDATE accounts SET balance = balance + ? WHERE user_id = ?", 10 * LARGE, till.ids[name])


async def test_a_payment_to_a_contact_is_allowed_and_its_decision_kept(till) -> None:
    """No question, no warning; the decision stands beside its order."""
    order = await till.propose("王小明", "李娜", 20_000, surname=None)
    assert (order.warnings, order.delay) == ((), 0)
    [row] = await kept(till)
    assert (row.user_id, row.order_id, row.verdict, row.reasons) == (till.ids["王小明"], order.id, "allow", [])
    assert (row.facts["amount"], row.facts["contact"]) == (20_000, True)


async def test_a_strangers_family_name_is_needed_once(till, refused) -> None:
    """Before the first payment only: whoever was paid is no stranger, nor is a contact."""
    with refused("surname_needed", name_masked="*建国"):
        await till.propose("王小明", "陈建国", 100, surname=None)
    await till.transfer("王小明", "陈建国", 100, surname="陈")
    assert (await till.propose("王小明", "陈建国", 100, surname=None)).status == "proposed"
    await befriend(till, "李娜", "陈建国")
    assert (await till.propose("李娜", "陈建国", 100, surname=None)).status == "proposed"


async def test_a_payment_that_the_family_name_stops_leaves_its_decision(till, refused) -> None:
    """What the rules said of it is kept, whether the name was wrong or none was given; a repeated key keeps it once."""
    await enrich(till, "李娜")
    with refused("surname_needed", name_masked="*建国"):
        await till.propose("李娜", "陈建国", LARGE, surname=None)
    for _ in range(2):
        with refused("surname_wrong", name_masked="*建国", tries_left=2):
            await till.propose("李娜", "陈建国", 100, surname="程", key="the same")
    found = [(row.order_id, row.verdict, row.facts["amount"]) for row in await kept(till)]
    assert found == [(None, "warn", LARGE), (None, "allow", 100)]


async def test_a_proposal_alone_makes_nobody_known(till, refused) -> None:
    """An order without its code is no payment."""
    await till.propose("王小明", "陈建国", 100, surname="陈")
    with refused("surname_needed", name_masked="*建国"):
        await till.propose("王小明", "陈建国", 100, surname=None)


async def test_a_wrong_name_counts_once_however_often_it_is_sent(till, refused) -> None:
    """A repeated key gives the same answer and costs no further guess; what was replaced stays cancelled."""
    first = await till.propose("王小明", "李娜", 100)
    for _ in range(3):
        with refused("surname_wrong", name_masked="*建国", tries_left=2):
            await till.propose("王小明", "陈建国", 100, surname="程", key="the same", replaces=first.id)
    async with till.wallet.database.read() as connection:
        assert (await connection.execute(select(surname_checks.c.wrong))).scalar_one() == 1
    assert (await till.wallet.order(first.id, actor=till.ids["王小明"])).status == "cancelled"


async def test_a_poor_payer_learns_nothing_of_a_strangers_name(till, refused) -> None:
    """Limits and balance come first: who could not pay anyway has no guess."""
    missing = {"amount": 90_000, "fee": 0, "available": 80_000, "missing": 10_000}
    with refused("insufficient_funds", **missing):
        await till.propose("李娜", "陈建国", 90_000, surname="程")


async def test_an_unnamed_payee_is_warned_of_and_not_asked_for(till) -> None:
    """Nobody's verified name is nobody's to confirm."""
    await till.write(update(users).where(users.c.id == till.ids["陈建国"]).values(name=""))
    order = await till.propose("王小明", "陈建国", 100, surname=None)
    assert (order.warnings, order.delay) == (("payee_unnamed",), 0)


async def test_a_large_first_payment_warns_and_at_night_waits_a_day(till) -> None:
    """The order says why and how long; the money is held until then, and the payer may call it back."""
    await enrich(till, "李娜")
    order = await till.propose("李娜", "陈建国", LARGE)
    assert (order.warnings, order.delay) == (("large_to_stranger",), 0)
    till.clock.advance(hours=10)
    order = await till.propose("李娜", "陈建国", LARGE)
    assert (order.warnings, order.delay) == (("large_to_stranger_at_night",), 86_400)
    before = await till.held_by("陈建国")
    held = await till.authorize("李娜", order)
    assert (held.status, held.due_at) == ("authorised", till.clock.now.replace(day=21))
    assert await till.held_by("陈建国") == before
    assert (await till.wallet.recall(order.id, actor=till.ids["李娜"], key=till.key())).status == "voided"
    assert [row.verdict for row in await kept(till)] == ["warn", "delay"]


async def test_the_longer_delay_stands(till) -> None:
    """What the payer chose is never shortened."""
    order = await till.propose("王小明", "陈建国", 100, delay=86_400)
    assert (order.delay, order.warnings) == (86_400, ())
    order = await till.propose("王小明", "陈建国", 100, delay=7_200, hints=("lottery",))
    assert (order.delay, order.warnings[0]) == (86_400, "fraud_wording_to_stranger")


async def test_a_refused_payment_leaves_its_decision_and_no_order(till, refused) -> None:
    """The payer is told by which rules; the name of the payee is not asked for any more."""
    asked = {"hints": ("safe_account",), "surname": None}
    with refused("risk_refused", reasons=["safe_account"]):
        await till.propose("王小明", "陈建国", 100, **asked)
    [row] = await kept(till)
    assert (row.order_id, row.verdict, row.facts["hints"]) == (None, "refuse", ["safe_account"])
    assert [reason["code"] for reason in row.reasons] == ["safe_account", "fraud_wording_to_stranger", "fraud_wording"]
    async with till.wallet.database.read() as connection:
        assert (await connection.execute(select(orders.c.id).where(orders.c.status == "proposed"))).all() == []


async def test_a_drained_wallet_is_stopped_on_the_way(till, refused) -> None:
    """Small tries at several people, then the rest at once: the first rest waits, after more tries none goes."""
    await enrich(till, "李娜")
    for payee in ("陈建国", "张三丰"):
        await till.transfer("李娜", payee, 100)
        till.clock.advance(minutes=1)
    order = await till.propose("李娜", "陈建国", LARGE)
    assert (order.delay, "probing" in order.warnings) == (86_400, True)
    for _ in range(3):
        await till.transfer("李娜", "陈建国", 100)
    with refused("risk_refused", reasons=["probing_often"]):
        await till.propose("李娜", "张三丰", LARGE)


async def test_a_preview_judges_without_a_trace(till) -> None:
    """It tells of warnings, delays and refusals, asks for no name and keeps nothing."""
    number, actor = await till.number("陈建国"), till.ids["王小明"]
    plain = await till.wallet.preview(Transfer(actor, number, Fen(100)), actor=actor)
    assert (plain.allowed, plain.delay, plain.warnings) == (True, 0, ())
    hinted = await till.wallet.preview(Transfer(actor, number, Fen(100), hints=("lottery",)), actor=actor)
    assert (hinted.allowed, hinted.delay, hinted.warnings[0]) == (True, 86_400, "fraud_wording_to_stranger")
    stopped = await till.wallet.preview(Transfer(actor, number, Fen(100), hints=("police",)), actor=actor)
    assert (stopped.allowed, stopped.refusal) == (False, "risk_refused")
    assert await kept(till) == []


async def test_what_a_wallet_may_hold_is_not_found_out_by_trying(till, refused) -> None:
    """Neither previews nor proposals nor delayed transfers tell it; whoever pays is told, three times in a day."""
    await enrich(till, "王小明")
    await till.sql("UPDATE accounts SET balance = 999000 WHERE user_id = ?", till.ids["陈建国"])
    await befriend(till, "王小明", "陈建国")
    actor, number = till.ids["王小明"], await till.number("陈建国")
    for amount in (1_000, 1_001, 100_000):
        assert (await till.wallet.preview(Transfer(actor, number, Fen(amount)), actor=actor)).allowed
        assert (await till.propose("王小明", "陈建国", amount)).status == "proposed"
    held = await till.transfer("王小明", "陈建国", 1_001, delay=7_200)
    assert held.status == "authorised"
    await till.wallet.recall(held.id, actor=actor, key=till.key())
    for amount in (1_003, 1_002, 1_001):
        with refused("payee_limit_exceeded"):
            await till.transfer("王小明", "陈建国", amount)
    for amount in (1_001, 1_000):
        with refused("risk_refused", reasons=["payee_full_often"]):
            await till.propose("王小明", "陈建国", amount)
    assert (await till.transfer("王小明", "李娜", 100)).status == "posted"
    till.clock.advance(days=1)
    assert (await till.transfer("王小明", "陈建国", 1_000)).status == "posted"


async def test_a_misspelt_hint_is_refused(till, refused) -> None:
    """No rule would hear it, and the payment would pass."""
    with refused("invalid_hints"):
        await till.propose("王小明", "陈建国", 100, hints=("safe_acount",))


@pytest.mark.parametrize("delay", [7_200.0, False, True, "7200", None])
async def test_a_delay_is_written_in_one_way(till, refused, delay) -> None:
    """The code is bound to how it is written: what only equals one of the delays is none."""
    with refused("invalid_delay", delays=[0, 7_200, 86_400]):
        await till.propose("王小明", "李娜", 100, delay=delay)


@pytest.mark.parametrize("surname", [5, "\x00", "陈" * 10_000, "\ud800"])
async def test_what_is_no_name_is_a_wrong_one(till, refused, surname) -> None:
    """Whatever stands there."""
    with refused("surname_wrong", name_masked="*建国", tries_left=2):
        await till.propose("王小明", "陈建国", 100, surname=surname)
