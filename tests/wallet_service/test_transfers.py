"""A transfer from proposal to receipt, and what both sides see of it."""

from __future__ import annotations

from dataclasses import replace

from wallet_service import Fee, Fen, Transfer

DATABASES = ("sqlite", "postgresql")


async def test_a_transfer_moves_exactly_its_amount(till) -> None:
    """Proposed, confirmed and posted: the payer has less, the payee more, nobody else anything."""
    before = await till.sql("SELECT id, balance FROM accounts ORDER BY id")
    order = await till.propose("王小明", "李娜", 20_000, note="房租")
    assert (order.status, order.amount, order.fee, order.tries_left) == ("proposed", 20_000, 0, 5)
    assert (order.payee_name_masked, order.payee_phone_masked, order.note) == ("*娜", "138****0002", "房租")
    assert await till.sql("SELECT id, balance FROM accounts ORDER BY id") == before
    posted = await till.authorize("王小明", order)
    assert posted.status == "posted"
    assert posted.posted_at == till.clock.now
    assert posted.receipt_no == f"20261120{order.id:010d}"
    assert await till.held_by("王小明") == 480_000
    assert await till.held_by("李娜") == 100_000
    after = await till.sql("SELECT id, balance FROM accounts ORDER BY id")
    assert sum(1 for old, new in zip(before, after, strict=True) if old != new) == 2
    assert await till.wallet.order(order.id, actor=till.ids["王小明"]) == posted


async def test_both_sides_see_the_transfer_in_their_history(till) -> None:
    """Signed amounts, masked counterparties, the note, and the balance after it."""
    order = await till.transfer("王小明", "李娜", 12_345, note="聚餐AA")
    paid = (await till.wallet.history(till.ids["王小明"], limit=1))[0]
    got = (await till.wallet.history(till.ids["李娜"], limit=1))[0]
    assert (paid.order_id, paid.amount, paid.counterparty, paid.balance_after) == (order.id, -12_345, "*娜", 487_655)
    assert (got.order_id, got.amount, got.counterparty, got.balance_after) == (order.id, 12_345, "*小明", 92_345)
    assert (paid.note, paid.status, paid.kind, paid.at) == ("聚餐AA", "posted", "transfer", till.clock.now)


async def test_a_transfer_may_cross_cities(till) -> None:
    """From the payer's wallet in one city to the payee's in another; their other wallets stay as they are."""
    order = await till.transfer("王小明", "李娜", 1_000, city="lanzhou", payee_city="qingdao")
    assert (order.city, order.payee_city) == ("lanzhou", "qingdao")
    assert await till.held_by("王小明", "lanzhou") == 499_000
    assert await till.held_by("李娜", "qingdao") == 81_000
    assert await till.held_by("王小明") == 500_000
    assert await till.held_by("李娜") == 80_000


async def test_the_whole_balance_may_be_spent(till) -> None:
    """The last fen goes, and leaves zero."""
    await till.transfer("李娜", "张三丰", 80_000)
    assert await till.held_by("李娜") == 0


async def test_a_proposal_holds_no_money(till, refused) -> None:
    """Two proposals for the same last fen may stand; only the first that is confirmed moves it."""
    first, second = await till.propose("李娜", "张三丰", 80_000), await till.propose("李娜", "王小明", 80_000)
    assert (await till.wallet.balance(till.ids["李娜"])).available == 80_000
    await till.authorize("李娜", second)
    with refused("insufficient_funds", amount=80_000, fee=0, available=0, missing=80_000):
        await till.authorize("李娜", first)
    late = await till.wallet.order(first.id, actor=till.ids["李娜"])
    assert (late.status, late.refusal) == ("refused", "insufficient_funds")


async def test_a_cancelled_order_takes_no_code(till, refused) -> None:
    """Cancelling twice is the same as once; the code is dead."""
    order = await till.propose("王小明", "李娜", 100)
    code = await till.code(order)
    actor = till.ids["王小明"]
    assert (await till.wallet.cancel(order.id, actor=actor, key=till.key())).status == "cancelled"
    assert (await till.wallet.cancel(order.id, actor=actor, key=till.key())).status == "cancelled"
    with refused("order_not_open", status="cancelled"):
        await till.authorize("王小明", order, code)
    assert await till.held_by("王小明") == 500_000


async def test_control_characters_never_reach_the_books(till) -> None:
    """A note keeps its words, markup included, and loses what cannot be printed."""
    order = await till.propose("王小明", "李娜", 100, note="<b>{{ 7*7 }}</b>\x00\x1b[31m\n好")
    assert order.note == "<b>{{ 7*7 }}</b>[31m好"


async def test_a_fee_is_posted_with_the_amount_or_not_at_all(till, refused) -> None:
    """Amount and fee are two entries of one order: the city's fee account gets what the payer pays on top."""
    profiles = till.wallet.context.profiles
    fee = Fee(rate_ppm=1_000, min=10, max=2_500, source="test", date="2026-11")
    shown = dict(profiles)
    shown["xiamen"] = replace(profiles["xiamen"], fees={"transfer": fee})
    object.__setattr__(till.wallet.context, "profiles", shown)
    order = await till.transfer("王小明", "李娜", 20_000)
    assert order.fee == 20
    assert await till.held_by("王小明") == 479_980
    assert await till.sql("SELECT balance FROM accounts WHERE kind = 'fees' AND city = 'xiamen'") == [(20,)]
    kinds = [(item.kind, item.amount) for item in await till.wallet.history(till.ids["王小明"], limit=2)]
    assert kinds == [("fee", -20), ("transfer", -20_000)]
    assert (await till.wallet.verify()).ok
    with refused("insufficient_funds", amount=100_000, fee=100, available=100_000, missing=100):
        await till.propose("李娜", "张三丰", 100_000)


async def test_the_face_works_as_the_contract_writes_it(till) -> None:
    """Typed commands with positional order ids, and a wallet number found by a contact's name."""
    actor = till.ids["王小明"]
    match = (await till.wallet.find_payees(actor, "李娜", city="xiamen"))[0]
    order = await till.wallet.propose(Transfer(payer=actor, payee=match.wallet_id, amount=Fen(5)), actor=actor, key=till.key())
    assert (await till.wallet.cancel(order.id, actor=actor, key=till.key())).status == "cancelled"
