"""The demo's people, balances and books, and the benchmark."""

from __future__ import annotations

from datetime import timedelta

import pytest

from wallet_service import Fen, PayBill, TopUp, errors
from wallet_service.demo import Obliging, load

DATABASES = ("sqlite", "postgresql")

CITIES = ("chongqing", "lanzhou", "qingdao", "shanxi", "xiamen")
PEOPLE = {
    "王小明": ("138****0001", 500_000, 2, "active"),
    "李娜": ("138****0002", 80_000, 3, "active"),
    "陈建国": ("138****0003", 10_000, 4, "active"),
    "赵敏": ("138****0004", 30_000, 3, "frozen"),
    "张三丰": ("138****0005", 0, 3, "active"),
}


async def test_the_demo_is_what_was_promised(till) -> None:
    """Everybody's phone, level, status, and the same balance in every city."""
    for name, (phone, balance, level, status) in PEOPLE.items():
        person = await till.wallet.person(till.ids[name])
        assert (person.name, person.phone_masked, person.level, person.status) == (name, phone, level, status)
        assert {city: await till.held_by(name, city) for city in CITIES} == dict.fromkeys(CITIES, balance)
    assert await till.wallet.contact_names(till.ids["王小明"]) == ("李娜", "张三丰")


async def test_the_demo_has_three_months_of_history_in_every_city(till) -> None:
    """Something in each of the three months, with notes and counterparties people recognise."""
    for city in CITIES:
        items = await till.wallet.history(till.ids["王小明"], city=city, limit=200)
        ages = [(till.clock.now - item.at) // timedelta(days=1) for item in items]
        assert [sum(1 for age in ages if 30 * month <= age < 30 * (month + 1)) > 10 for month in range(3)] == [True] * 3
        assert all(item.note for item in items)
        assert all(item.counterparty for item in items if item.kind in ("payment", "bill", "transfer"))
    assert (await till.wallet.verify()).faults == ()


async def test_the_demo_has_shops_and_bills(till) -> None:
    """Two merchants and four billers a city, each with something due."""
    for city in CITIES:
        assert (await till.sql("SELECT COUNT(*) FROM accounts WHERE kind = 'merchant' AND city = ?", city))[0][0] == 2
        due = await till.sql(
            "SELECT service FROM bills JOIN billers ON billers.id = biller_id JOIN accounts ON accounts.id = account_id"
            " WHERE city = ? AND amount > 0 ORDER BY service",
            city,
        )
        assert due == [("electricity",), ("gas",), ("phone",), ("water",)]


async def test_loading_the_demo_twice_is_loading_it_once(till) -> None:
    """The same ids come back and nothing is added."""
    before = (await till.wallet.verify()).entries
    assert await load(till.wallet) == till.ids
    assert (await till.wallet.verify()).entries == before


async def test_the_demos_cards_and_channels(till) -> None:
    """王小明 has a debit and a credit card, of which only the ends show; the demo's own bank and biller do whatever is asked."""
    first, second = await till.wallet.cards(till.ids["王小明"])
    assert (first.bank, first.last_four, first.kind, first.is_default) == ("青松银行", "0005", "debit", True)
    assert (second.bank, second.last_four, second.kind, second.is_default) == ("远山银行", "0014", "credit", False)
    assert await till.wallet.cards(till.ids["李娜"]) == ()
    assert await till.wallet.cards(10**30) == ()
    assert "6200000000000005" not in repr(till.bank.asked)
    async with till.reopened(outside={"bank": Obliging()}, working=False) as wallet:
        order = await till.wish(TopUp(till.ids["王小明"], first.id, Fen(100)))
        await wallet.authorize(order.id, await till.code(order), actor=till.ids["王小明"], key=till.key())
        await wallet.run_due()
    assert (await till.wallet.order(order.id, actor=till.ids["王小明"])).status == "posted"


async def test_the_demos_bills(till) -> None:
    """What 王小明's household owes four billers a city; under way while the biller is asked, then gone."""
    user = till.ids["王小明"]
    for city in CITIES:
        due = await till.wallet.bills(user, city)
        assert [(bill.service, bill.amount, bill.month, bill.under_way) for bill in due] == [
            ("water", 4_860, 202611, False),
            ("electricity", 12_635, 202611, False),
            ("gas", 7_320, 202611, False),
            ("phone", 5_900, 202611, False),
        ]
    assert [bill.customer_no_masked for bill in due] == ["****3401", "****3402", "****3403", "****0001"]
    assert [bill.biller for bill in await till.wallet.bills(user)] == ["厦门水务", "厦门供电", "厦门燃气", "厦门通信"]
    till.biller.answers.append("unknown")
    water = (await till.wallet.bills(user))[0]
    await till.confirmed(PayBill(user, water.id))
    assert [bill.under_way for bill in await till.wallet.bills(user)] == [True, False, False, False]
    await till.wallet.run_due()
    till.clock.advance(seconds=10)
    await till.wallet.run_due()
    assert [bill.service for bill in await till.wallet.bills(user)] == ["electricity", "gas", "phone"]
    assert await till.wallet.bills(till.ids["李娜"]) == await till.wallet.bills(10**30) == ()
    with pytest.raises(errors.UnknownCity):
        await till.wallet.bills(user, "atlantis")
