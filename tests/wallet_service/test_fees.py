"""What an order costs: shown before, confirmed with it, posted with the amount or not at all; free quotas are used up once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import IntegrityError

from wallet_service import Fen, Pay, TopUp, Withdraw

DATABASES = ("sqlite", "postgresql")
WORKING = False
FREE = 100_000  # fen a month, and 0.1 % of what is beyond, at least 10 fen


async def _withdrawal(till, amount: int, city: str = "xiamen") -> Withdraw:
    return Withdraw(till.ids["王小明"], await till.card(), Fen(amount), city)


async def _withdraw(till, amount: int, city: str = "xiamen") -> int:
    """Withdraw and give the fee; what was previewed is what is charged."""
    command = await _withdrawal(till, amount, city)
    preview = await till.wallet.preview(command, actor=command.payer)
    order = await till.confirmed(command)
    assert (preview.fee, preview.total) == (order.fee, amount + order.fee)
    await till.wallet.run_due()
    return order.fee


async def _quota_used(till) -> int:
    return (await till.sql("SELECT quota_used FROM accounts WHERE id = ?", await till.account("王小明")))[0][0]


async def test_withdrawing_is_free_inside_the_quota_and_costs_beyond_it(till) -> None:
    """Free to the last fen of the month's quota; then only what lies beyond is charged, rounded up, never less than the least."""
    fees = [await _withdraw(till, amount) for amount in (40_000, 59_999, 1, 1, 10_001, 20_000)]
    assert fees == [0, 0, 0, 10, 11, 20]
    assert await _quota_used(till) == FREE
    assert (await till.standing(await till.account("fees")))[0] == 41
    assert await till.held_by("王小明") == 500_000 - 130_002 - 41
    assert (await till.wallet.verify()).faults == ()


async def test_one_withdrawal_across_the_edge_of_the_quota(till) -> None:
    """Of 1,500 yuan the first 1,000 are free: 0.1 % of 500."""
    assert await _withdraw(till, 150_000) == 50
    assert await _quota_used(till) == FREE


async def test_the_quota_begins_anew_with_the_month_in_shanghai(till) -> None:
    """Used up on the 30th of November at 23:59, whole again a minute later; each city has its own."""
    till.clock.now = datetime(2026, 11, 30, 15, 59, tzinfo=UTC)
    assert await _withdraw(till, FREE) == 0
    assert await _withdraw(till, 100) == 10
    assert await _withdraw(till, FREE, "lanzhou") == 0
    till.clock.advance(minutes=1)
    assert await _withdraw(till, FREE) == 0
    assert await _withdraw(till, 100) == 10
    assert (await till.wallet.verify()).faults == ()


async def test_withdrawals_side_by_side_use_the_quota_once(till, refused) -> None:
    """Three proposed as free: the first is, the second would cost by now and is refused with the fee that it would have."""
    commands = [await _withdrawal(till, amount) for amount in (FREE, FREE, 20_000)]
    orders = [await till.wish(command) for command in commands]
    assert [order.fee for order in orders] == [0, 0, 0]
    await till.authorize("王小明", orders[0])
    with refused("fee_changed", amount=FREE, fee=100, was=0):
        await till.authorize("王小明", orders[1])
    with refused("fee_changed", amount=20_000, fee=20, was=0):
        await till.authorize("王小明", orders[2])
    assert (await till.wallet.order(orders[1].id, actor=till.ids["王小明"])).status == "refused"
    assert (await till.confirmed(commands[1])).fee == 100
    assert await _quota_used(till) == FREE


async def test_what_was_not_withdrawn_gives_its_quota_back(till) -> None:
    """The bank refuses in the same month: the next withdrawal is free again. Refused a month later, it gives nothing to that."""
    till.bank.answers.append("refused")
    assert await _withdraw(till, FREE) == 0
    assert await _quota_used(till) == 0
    till.bank.answers.append("unknown")
    assert await _withdraw(till, 50_000) == 0
    assert await _quota_used(till) == 50_000
    till.clock.now = datetime(2026, 12, 2, 4, tzinfo=UTC)
    await till.confirmed(await _withdrawal(till, 10_000))
    till.bank.answers.extend(["refused", "done"])  # the one of November, which has waited longer, is asked first
    await till.wallet.run_due()
    ended = await till.sql("SELECT status FROM orders WHERE kind = 'withdraw' ORDER BY id DESC LIMIT 2")
    assert ended == [("posted",), ("voided",)]
    assert await _quota_used(till) == 10_000
    assert (await till.wallet.verify()).faults == ()


async def test_amount_and_fee_must_be_there_together(till, refused) -> None:
    """A wallet that holds the amount but not the fee pays neither; with a fen less it pays both."""
    card = await till.card()
    figures = {"amount": 500_000, "fee": 400, "available": 500_000, "missing": 400}
    with refused("insufficient_funds", **figures):
        await till.wish(Withdraw(till.ids["王小明"], card, Fen(500_000)))
    assert (await till.confirmed(Withdraw(till.ids["王小明"], card, Fen(499_600)))).fee == 400
    assert await till.standing(await till.account("王小明")) == (500_000, 500_000)


async def test_fee_and_principal_are_posted_together_or_not_at_all(till) -> None:
    """The fee's entry is made impossible by force: the principal is not posted either, and the hold stands."""
    order = await till.confirmed(TopUp(till.ids["王小明"], await till.card("credit"), Fen(100_000)))
    fees, promotions = await till.account("fees"), await till.account("promotions")
    await till.sql(
        "INSERT INTO entries (order_id, kind, debit_id, credit_id, amount, debit_balance, credit_balance, at)"
        " VALUES (?, 'fee', ?, ?, 1, 0, 0, 0)",
        order.id,
        promotions,
        fees,
    )
    await till.wallet.run_due()
    assert (await till.wallet.order(order.id, actor=till.ids["王小明"])).status == "authorised"
    assert await till.sql("SELECT kind FROM entries WHERE order_id = ?", order.id) == [("fee",)]
    assert await till.held_by("王小明") == 500_000


@pytest.mark.parametrize(("amount", "fee"), [(1, 10), (1_666, 10), (1_667, 11), (100_000, 600)])
async def test_a_credit_card_costs_what_the_profile_says(till, amount, fee) -> None:
    """0.6 %, rounded up, at least 10 fen; a debit card and everything that is paid costs nothing."""
    user = till.ids["王小明"]
    assert (await till.wish(TopUp(user, await till.card("credit"), Fen(amount)))).fee == fee
    assert (await till.wish(TopUp(user, await till.card(), Fen(amount)))).fee == 0
    assert (await till.wish(Pay(user, (await till.merchant())[1], Fen(amount)))).fee == 0
    assert (await till.propose("王小明", "李娜", amount)).fee == 0


async def test_a_fee_that_was_confirmed_cannot_change(till) -> None:
    """Nobody makes an order dearer after its payer has seen it, not even with the database in their hands."""
    order = await till.wish(TopUp(till.ids["王小明"], await till.card("credit"), Fen(1)))
    with pytest.raises(IntegrityError):
        await till.sql("UPDATE orders SET fee = 11 WHERE id = ?", order.id)
