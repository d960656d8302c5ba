"""Every kind of order from its proposal to its end: who has what, what stands in the books, who is told."""

from __future__ import annotations

import pytest

from wallet_service import Fen, Pay, PayBill, TopUp, Transfer, Withdraw

DATABASES = ("sqlite", "postgresql")
WORKING = False


async def _entries(till, order_id: int) -> list[tuple]:
    return await till.sql("SELECT kind, debit_id, credit_id, amount FROM entries WHERE order_id = ? ORDER BY id", order_id)


async def _told(till) -> list[tuple[str, int]]:
    return sorted((notice.kind, notice.user_id) for notice in await till.collect() if notice.kind != "payment_code")


@pytest.mark.parametrize("static", [False, True])
async def test_a_merchant_is_paid(till, static) -> None:
    """At once, by a static or a dynamic code: the merchant has it, the payer is told, and both know which sort of code it was."""
    payer, (merchant, number) = till.ids["王小明"], await till.merchant()
    before = await till.standing(merchant)
    order = await till.confirmed(Pay(payer, number, Fen(12_345), note="沙茶面", static=static))
    assert (order.kind, order.status, order.method) == ("pay", "posted", "static" if static else "dynamic")
    assert (order.payee_name_masked, order.payee_phone_masked, order.payee_wallet) == ("鹭岛沙茶面", "", number)
    assert await _entries(till, order.id) == [("pay", await till.account("王小明"), merchant, 12_345)]
    assert await till.standing(merchant) == (before[0] + 12_345, 0)
    assert await _told(till) == [("payment_posted", payer)]
    assert (await till.wallet.history(payer, limit=1))[0].counterparty == "鹭岛沙茶面"


async def test_a_wallet_is_topped_up_from_a_debit_card(till) -> None:
    """The code confirms it, the bank is asked once, and only what the bank has taken arrives; it costs nothing."""
    user = till.ids["王小明"]
    order = await till.confirmed(TopUp(user, await till.card(), Fen(30_000)))
    assert (order.status, order.outside_state, order.fee) == ("authorised", "waiting", 0)
    assert await till.standing(await till.account("王小明")) == (500_000, 0)
    assert await till.wallet.run_due() == 1
    [errand] = till.bank.asked
    assert (errand.kind, errand.city, errand.amount, errand.fee, errand.again) == ("top_up", "xiamen", 30_000, 0, False)
    assert (errand.card, errand.bank) == ("6200000000000005", "青松银行")
    posted = await till.wallet.order(order.id, actor=user)
    assert (posted.status, posted.outside_state, posted.posted_amount, posted.due_at) == ("posted", "done", 30_000, None)
    assert await _entries(till, order.id) == [("top_up", await till.account("clearing"), await till.account("王小明"), 30_000)]
    assert await till.standing(await till.account("王小明")) == (530_000, 0)
    assert await _told(till) == [("top_up_done", user)]
    assert (await till.wallet.verify()).faults == ()


async def test_a_credit_card_costs_a_fee(till) -> None:
    """The wallet gets the amount, the card pays amount and fee, and the fee is the city's."""
    order = await till.confirmed(TopUp(till.ids["王小明"], await till.card("credit"), Fen(100_001), city="qingdao"))
    assert (order.amount, order.fee) == (100_001, 601)  # 0.6 %, rounded up to a fen
    await till.wallet.run_due()
    assert (till.bank.asked[0].amount, till.bank.asked[0].fee, till.bank.asked[0].city) == (100_001, 601, "qingdao")
    bank, wallet = await till.account("clearing", "qingdao"), await till.account("王小明", "qingdao")
    fees = await till.account("fees", "qingdao")
    assert await _entries(till, order.id) == [("top_up", bank, wallet, 100_001), ("fee", bank, fees, 601)]
    assert await till.held_by("王小明", "qingdao") == 600_001
    assert (await till.wallet.verify()).faults == ()


async def test_money_is_withdrawn_to_a_debit_card(till) -> None:
    """Held while the bank is asked, gone when it is done; inside the free quota without a fee."""
    user, wallet, bank = till.ids["王小明"], await till.account("王小明"), await till.account("clearing")
    order = await till.confirmed(Withdraw(user, await till.card(), Fen(60_000)))
    assert order.status == "authorised"
    assert await till.standing(wallet) == (500_000, 60_000)
    shown = await till.wallet.balance(user)
    assert (shown.available, shown.held) == (440_000, 60_000)
    await till.wallet.run_due()
    assert till.bank.asked[0].kind == "withdraw"
    assert await till.standing(wallet) == (440_000, 0)
    assert await _entries(till, order.id) == [("withdraw", wallet, bank, 60_000)]
    assert await _told(till) == [("withdrawal_done", user)]


async def test_a_bill_is_paid(till) -> None:
    """From the wallet in the biller's city, whole; the biller is told customer and month, and the bill is not due any more."""
    user, (bill, amount, biller) = till.ids["王小明"], await till.bill("electricity", "lanzhou")
    before = await till.standing(biller)
    order = await till.confirmed(PayBill(user, bill))
    assert (order.kind, order.amount, order.city, order.payee_name_masked) == ("bill", 12_635, "lanzhou", "兰州供电")
    await till.wallet.run_due()
    [errand] = till.biller.asked
    assert (errand.kind, errand.amount, errand.card) == ("bill", amount, None)
    assert (errand.service, errand.customer_no, errand.month, errand.city) == ("electricity", "3500123402", 202611, "lanzhou")
    assert await till.standing(biller) == (before[0] + amount, 0)
    assert await till.held_by("王小明", "lanzhou") == 500_000 - amount
    assert await _told(till) == [("payment_posted", user)]


async def test_a_bill_is_its_households_business(till, refused) -> None:
    """Whoever never gave the household's customer number learns nothing of what it owes, paid or not, by trying numbers."""
    mine, yours = till.ids["王小明"], till.ids["李娜"]
    paid, *due = [row[0] for row in await till.sql("SELECT id FROM bills ORDER BY id")]
    assert (await till.wallet.preview(PayBill(mine, due[0]), actor=mine)).allowed
    await till.confirmed(PayBill(mine, paid))
    for bill in (paid, *due, 10**9):
        with refused("bill_not_found"):
            await till.wish(PayBill(yours, bill))
        preview = await till.wallet.preview(PayBill(yours, bill), actor=yours)
        assert (preview.allowed, preview.refusal, preview.facts, preview.total) == (False, "bill_not_found", {}, None)


@pytest.mark.parametrize("meanwhile", ["held", "posted"])
async def test_a_bill_is_paid_once(till, refused, meanwhile) -> None:
    """While its payment is under way and after it, neither a new proposal nor one that was made before takes money again."""
    user, (bill, *_) = till.ids["王小明"], await till.bill()
    early = await till.wish(PayBill(user, bill))
    await till.confirmed(PayBill(user, bill))
    if meanwhile == "posted":
        await till.wallet.run_due()
    with refused("bill_paid"):
        await till.wish(PayBill(user, bill))
    with refused("bill_paid"):
        await till.authorize("王小明", early)
    assert (await till.wallet.order(early.id, actor=user)).status == "refused"
    await till.wallet.run_due()
    assert len(till.biller.asked) == 1


async def test_a_bill_that_the_biller_refused_may_be_paid_anew(till) -> None:
    """Its first payment is void; the next one pays."""
    user, (bill, amount, _) = till.ids["王小明"], await till.bill()
    till.biller.answers.append("refused")
    for status in ("voided", "posted"):
        order = await till.confirmed(PayBill(user, bill))
        await till.wallet.run_due()
        assert (await till.wallet.order(order.id, actor=user)).status == status
    assert await till.held_by("王小明") == 500_000 - amount
    assert len({errand.number for errand in till.biller.asked}) == 2


async def test_what_takes_a_card_takes_ones_own(till, refused) -> None:
    """Neither somebody else's card, nor an unbound one, nor a credit card to withdraw to; one unbound later ends its order."""
    user, debit, credit = till.ids["王小明"], await till.card(), await till.card("credit")
    for command in (
        TopUp(till.ids["李娜"], debit, Fen(100)),
        Withdraw(user, credit, Fen(100)),
        TopUp(user, 0, Fen(100)),
        TopUp(user, 10**30, Fen(100)),
    ):
        with refused("card_not_found"):
            await till.wish(command)
    order = await till.wish(TopUp(user, debit, Fen(100)))
    await till.sql("UPDATE cards SET status = 'unbound' WHERE id = ?", debit)
    with refused("card_not_found"):
        await till.authorize("王小明", order)
    with refused("card_not_found"):
        await till.wish(TopUp(user, debit, Fen(100)))
    assert [card.id for card in await till.wallet.cards(user)] == [credit]


async def test_without_a_channel_nothing_is_proposed(till, refused) -> None:
    """Where no bank and no biller is connected, what would wait for one forever is refused at once."""
    user, card, (bill, *_) = till.ids["王小明"], await till.card(), await till.bill()
    missing = {TopUp(user, card, Fen(1)): "bank", Withdraw(user, card, Fen(1)): "bank", PayBill(user, bill): "biller"}
    async with till.reopened(outside={}, working=False) as other:
        for command, channel in missing.items():
            with refused("channel_missing", outside=channel):
                await other.propose(command, actor=user, key=till.key())


async def test_what_is_owed_to_nobody_is_refused(till, refused) -> None:
    """Bills and merchants that do not exist, a wallet's number as a merchant's, a merchant's as a wallet's."""
    user, (_, number) = till.ids["王小明"], await till.merchant()
    for bill in (0, 10**30, 999_999):
        with refused("bill_not_found"):
            await till.wish(PayBill(user, bill))
    for command in (
        Pay(user, await till.number("李娜"), Fen(1)),
        Pay(user, "9010000000000", Fen(1)),
        Transfer(user, number, Fen(1)),
    ):
        with refused("payee_not_found"):
            await till.wish(command)


async def test_a_merchant_is_paid_out(till, refused) -> None:
    """The house books takings to settlement and on to the bank; a merchant is paid out no more than it has."""
    merchant, _ = await till.merchant()
    settlement, bank = await till.account("settlement"), await till.account("clearing")
    has, _ = await till.standing(merchant)
    with refused("insufficient_funds", amount=has + 1, fee=0, available=has, missing=1):
        await till.wallet.book("settle", merchant, settlement, Fen(has + 1), key="settle/1")
    booked = await till.wallet.book("settle", merchant, settlement, Fen(has), note="11月20日", key="settle/2")
    assert await till.wallet.book("settle", merchant, settlement, Fen(has), note="11月20日", key="settle/2") == booked
    assert (await till.standing(merchant), await till.standing(settlement)) == ((0, 0), (has, 0))
    paid = await till.wallet.book("settle", settlement, bank, Fen(has), key="settle/3")
    assert paid.receipt_no == f"20261120{paid.order_id:010d}"
    assert await _entries(till, paid.order_id) == [("settle", settlement, bank, has)]
    assert (await till.wallet.verify()).faults == ()


async def test_all_money_has_two_sides(till) -> None:
    """After every kind of order, all that is held by anybody is what came in from the bank and from promotions."""
    user, card, credit = till.ids["王小明"], await till.card(), await till.card("credit")
    (merchant, number), (bill, *_) = await till.merchant(), await till.bill()
    await till.give("李娜", 1_000)
    await till.transfer("王小明", "李娜", 20_000)
    await till.transfer("王小明", "李娜", 5_000, delay=7_200)
    paid = await till.confirmed(Pay(user, number, Fen(10_000)))
    for command in (TopUp(user, credit, Fen(50_000)), Withdraw(user, card, Fen(150_000)), PayBill(user, bill)):
        await till.confirmed(command)
    await till.wallet.run_due()
    await till.wallet.refund(paid.id, Fen(4_000), key="refund/1")
    await till.wallet.book("settle", merchant, await till.account("settlement"), Fen(6_000), key="settle/1")
    sums = dict(await till.sql("SELECT kind, SUM(balance) FROM accounts GROUP BY kind"))
    assert sums["clearing"] + sums["promotions"] == -sum(
        fen for kind, fen in sums.items() if kind not in ("clearing", "promotions")
    )
    assert (sums["promotions"], sums["settlement"]) == (-1_000, 6_000)
    assert sums["fees"] == 300 + 50  # 0.6 % of 500 yuan by credit card, 0.1 % of what is beyond the free 1,000 withdrawn
    by_kind = await till.sql("SELECT kind, SUM(amount) FROM entries WHERE order_id >= ? GROUP BY kind ORDER BY kind", paid.id - 2)
    assert by_kind == [
        ("bill", 4_860),
        ("fee", 350),
        ("pay", 10_000),
        ("refund", 4_000),
        ("settle", 6_000),
        ("top_up", 50_000),
        ("transfer", 20_000),
        ("withdraw", 150_000),
    ]
    assert (await till.wallet.verify()).faults == ()


async def test_every_city_has_the_houses_accounts(till) -> None:
    """Clearing, fees, promotions and settlement, one of each, whatever city; opening again makes no second."""
    async with till.reopened() as other:
        cities = other.cities
    found = await till.sql(
        "SELECT city, kind, COUNT(*) FROM accounts WHERE user_id IS NULL AND number IS NULL GROUP BY city, kind"
    )
    house = {(city, kind): count for city, kind, count in found if kind != "biller"}
    assert house == {(city, kind): 1 for city in cities for kind in ("clearing", "fees", "promotions", "settlement")}


async def test_the_houses_hands_are_checked_too(till, refused) -> None:
    """A note that is too long or no text, an account that is not there or stands on both sides: refused, not a fault."""
    (merchant, _), settlement = await till.merchant(), await till.account("settlement")
    for note in ("x" * 101, 5):
        with refused("invalid_note", limit=100):
            await till.wallet.book("settle", merchant, settlement, Fen(1), note=note, key=till.key())
    for payee in (merchant, 10**9, 10**30, "1"):
        with refused("payee_not_found"):
            await till.wallet.book("settle", merchant, payee, Fen(1), key=till.key())
    for order_id in (0, 10**30, "1"):
        with refused("order_not_found"):
            await till.wallet.refund(order_id, Fen(1), key=till.key())
        with refused("order_not_found"):
            await till.wallet.capture(order_id, Fen(1), key=till.key())


async def test_house_and_people_have_keys_of_their_own(till) -> None:
    """A key that somebody used before log-in, or as themselves, is still free for the house."""
    merchant, _ = await till.merchant()
    await till.wallet.start_login("13800000002", key="refund/7")
    order = await till.propose("王小明", "李娜", 100, key="refund/8")
    for key in ("refund/7", "refund/8"):
        booked = await till.wallet.book("settle", merchant, await till.account("settlement"), Fen(1), key=key)
        assert booked.order_id > order.id
