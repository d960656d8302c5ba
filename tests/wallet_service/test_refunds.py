"""Money given back: whole or in parts, never more than was paid, to any wallet that still exists, from who has it."""

from __future__ import annotations

import asyncio

import pytest

from wallet_service import Fen, Pay, PayBill, Transfer, WalletError

DATABASES = ("sqlite", "postgresql")
WORKING = False


async def _paid(till, amount: int = 30_000, payer: str = "王小明"):
    return await till.confirmed(Pay(till.ids[payer], (await till.merchant())[1], Fen(amount)))


async def _refund(till, order, amount: int, key: str | None = None, note: str = ""):
    return await till.wallet.refund(order.id, Fen(amount), note=note, key=key or till.key())


async def test_a_payment_is_given_back_in_parts(till, refused) -> None:
    """Each part is an order with a receipt of its own, told to who gets it; the last fen may come back, and not one more."""
    order, (merchant, _) = await _paid(till), await till.merchant()
    wallet, takings = await till.account("王小明"), (await till.standing(merchant))[0]
    await till.collect()
    first = await _refund(till, order, 10_000, note="少一份")
    assert (await till.wallet.order(order.id, actor=till.ids["王小明"])).refunded == 10_000
    with refused("refund_too_much", amount=20_001, left=20_000):
        await _refund(till, order, 20_001)
    second = await _refund(till, order, 20_000)
    with refused("refund_too_much", amount=1, left=0):
        await _refund(till, order, 1)
    assert (await till.standing(wallet), await till.standing(merchant)) == ((500_000, 0), (takings - 30_000, 0))
    assert len({first.receipt_no, second.receipt_no, order.receipt_no}) == 3
    newest = (await till.wallet.history(till.ids["王小明"], limit=2))[1]
    assert (newest.kind, newest.amount, newest.counterparty, newest.note) == ("refund", 10_000, "鹭岛沙茶面", "少一份")
    told = [(notice.kind, notice.user_id, notice.facts["amount"]) for notice in await till.collect()]
    assert told == [("refund_received", till.ids["王小明"], 10_000), ("refund_received", till.ids["王小明"], 20_000)]
    assert (await till.wallet.verify()).faults == ()


async def test_a_refund_is_given_once(till, refused) -> None:
    """Its key repeated gives the same receipt, with another amount or note it is refused."""
    order = await _paid(till)
    first = await _refund(till, order, 10_000, "refund/1", "x")
    assert await _refund(till, order, 10_000, "refund/1", "x") == first
    for amount, note in ((10_001, "x"), (10_000, "y")):
        with refused("key_reused"):
            await _refund(till, order, amount, "refund/1", note)
    assert await till.held_by("王小明") == 480_000


async def test_refunds_at_once_never_exceed_the_payment(till) -> None:
    """Twenty refunds of 20 yuan for 300, from two open wallets: fifteen are given."""
    order = await _paid(till)
    async with till.reopened(working=False) as other:
        wallets = [till.wallet, other] * 10
        asked = [wallet.refund(order.id, Fen(2_000), key=till.key()) for wallet in wallets]
        done = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(each, WalletError) for each in done) == 5
    assert {each.code for each in done if isinstance(each, WalletError)} == {"refund_too_much"}
    assert await till.held_by("王小明") == 500_000
    assert (await till.wallet.verify()).faults == ()


async def test_a_bill_is_given_back_by_its_biller(till) -> None:
    """From the biller's account, and the bill stays paid: what replaces it is a bill of its own."""
    bill, amount, biller = await till.bill()
    order = await till.confirmed(PayBill(till.ids["王小明"], bill))
    await till.wallet.run_due()
    has, _ = await till.standing(biller)
    await _refund(till, order, amount)
    assert (await till.standing(biller), await till.held_by("王小明")) == ((has - amount, 0), 500_000)
    preview = await till.wallet.preview(PayBill(till.ids["王小明"], bill), actor=till.ids["王小明"])
    assert preview.refusal == "bill_paid"


@pytest.mark.parametrize("state", ["frozen", "full", "closing"])
async def test_money_comes_back_to_a_wallet_that_may_not_receive(till, state) -> None:
    """Frozen, filled or about to be closed: what was paid belongs to nobody else."""
    order, user = await _paid(till), till.ids["王小明"]
    if state == "full":
        await till.sql("UPDATE users SET level = 4 WHERE id = ?", user)
        await till.give("王小明", 530_000)
    else:
        closes_at = int(till.clock.now.timestamp() * 1000) if state == "closing" else None
        await till.sql("UPDATE users SET status = ?, closes_at = ? WHERE id = ?", state, closes_at, user)
    before = await till.held_by("王小明")
    await _refund(till, order, 30_000)
    assert await till.held_by("王小明") == before + 30_000


async def test_nothing_comes_back_to_an_account_that_is_closed(till, refused) -> None:
    """Nobody could ever reach it there: a person has to look for another way."""
    order = await _paid(till)
    await till.sql("UPDATE users SET status = 'closed' WHERE id = ?", till.ids["王小明"])
    with refused("payee_unavailable"):
        await _refund(till, order, 1)
    assert (await till.wallet.verify()).faults == ()


async def test_a_merchant_gives_back_what_it_has(till, refused) -> None:
    """One that was paid out already has to put money in first; the refusal changes nothing, and later the refund is given."""
    order, (merchant, _) = await _paid(till), await till.merchant()
    settlement = await till.account("settlement")
    has, _ = await till.standing(merchant)
    await till.wallet.book("settle", merchant, settlement, Fen(has - 100), key=till.key())
    with refused("insufficient_funds", amount=30_000, fee=0, available=100, missing=29_900):
        await _refund(till, order, 30_000)
    assert (await till.wallet.order(order.id, actor=till.ids["王小明"])).refunded == 0
    await till.wallet.book("settle", settlement, merchant, Fen(29_900), key=till.key())
    await _refund(till, order, 30_000)
    assert (await till.standing(merchant), await till.held_by("王小明")) == ((0, 0), 500_000)


async def test_what_was_no_payment_is_not_given_back(till, refused) -> None:
    """A transfer, a refund itself, a proposal, a payment that was refused, none at all; nothing, and less."""
    transfer, paid = await till.transfer("王小明", "李娜", 100), await _paid(till)
    refund = await _refund(till, paid, 100)
    proposed = await till.wish(Pay(till.ids["王小明"], (await till.merchant())[1], Fen(100)))
    for order_id in (transfer.id, refund.order_id, 999_999):
        with refused("order_not_found"):
            await till.wallet.refund(order_id, Fen(1), key=till.key())
    with refused("order_not_open", status="proposed"):
        await _refund(till, proposed, 1)
    for amount in (0, -1):
        with refused("amount_not_positive", amount=amount):
            await _refund(till, paid, amount)


async def test_a_refund_gives_no_limit_back(till, refused) -> None:
    """The day's figure counts what was paid out: money sent round in a circle does not raise it."""
    order = await _paid(till, 400_000)
    await _refund(till, order, 400_000)
    left = await till.wallet.allowance(till.ids["王小明"])
    assert (left.day_used, left.code_left, left.available) == (400_000, 100_000, 500_000)
    with pytest.raises(WalletError) as refusal:
        await till.wish(Transfer(till.ids["王小明"], await till.number("张三丰"), Fen(100_001)))
    assert refusal.value.code == "second_factor_needed"
