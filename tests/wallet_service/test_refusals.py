"""Every refusal of a payment, with the figures that the reply will name; none moves a fen."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from wallet_service import Fen, Transfer, errors

DATABASES = ("sqlite", "postgresql")

DAY_END = "2026-11-20T16:00:00+00:00"  # midnight in Shanghai
YEAR_END = "2026-12-31T16:00:00+00:00"


@pytest.fixture(autouse=True)
async def _nothing_moves(till):
    """Whatever a test of this file does, the ledger is sound after it."""
    yield
    assert (await till.wallet.verify()).ok


@pytest.mark.parametrize("amount", [0, -1, -(10**30)])
async def test_amounts_that_are_not_positive(till, refused, amount) -> None:
    """Zero and less."""
    with refused("amount_not_positive", amount=amount):
        await till.propose("王小明", "李娜", amount)


@pytest.mark.parametrize("amount", [10**11 + 1, 10**40])
async def test_amounts_beyond_reason(till, refused, amount) -> None:
    """Too large for any wallet, and for the database's integers."""
    with refused("amount_too_large", amount=amount, limit=10**11):
        await till.propose("王小明", "李娜", amount)


async def test_amounts_that_slipped_past_the_type(till, refused) -> None:
    """A float in the command is refused even where nobody ran a type checker."""
    actor, number = till.ids["王小明"], await till.number("李娜")
    with refused("invalid_amount"):
        await till.wallet.propose(Transfer(actor, number, 2.5), actor=actor, key=till.key())


async def test_more_than_there_is(till, refused) -> None:
    """What is there and what is missing are told."""
    with refused("insufficient_funds", amount=80_001, fee=0, available=80_000, missing=1):
        await till.propose("李娜", "王小明", 80_001)


@pytest.mark.parametrize("city", ["xiamen", "lanzhou"])
async def test_oneself(till, refused, city) -> None:
    """Neither the same wallet nor one's own in another city."""
    with refused("self_transfer"):
        await till.propose("王小明", "王小明", 100, payee_city=city)


async def test_a_frozen_payer(till, refused) -> None:
    """Money may not leave a frozen wallet."""
    with refused("wallet_frozen", city="xiamen"):
        await till.propose("赵敏", "李娜", 100)


async def test_a_frozen_payee(till, refused) -> None:
    """Nor enter one, and the payer is not told why."""
    with refused("payee_unavailable"):
        await till.propose("王小明", "赵敏", 100)


async def test_an_unknown_payee(till, refused) -> None:
    """No wallet of that number."""
    actor = till.ids["王小明"]
    for number in ("8010000000000", "", "x" * 10_000, "'; DROP TABLE users"):
        with refused("payee_not_found"):
            await till.wallet.propose(Transfer(actor, number, Fen(1)), actor=actor, key=till.key())


async def test_a_wallet_that_the_payer_lacks(till, refused) -> None:
    """The person has no wallet in that city, or there is no such city at all."""
    person = await till.newcomer("13900000009")
    command = Transfer(person.id, await till.number("李娜"), Fen(1), city="shanxi")
    for attempt in (
        lambda: till.wallet.propose(command, actor=person.id, key=till.key()),
        lambda: till.wallet.balance(person.id, "shanxi"),
        lambda: till.wallet.history(person.id, city="shanxi"),
    ):
        with refused("no_wallet", city="shanxi"):
            await attempt()
    with refused("unknown_city", city="atlantis"):
        await till.propose("王小明", "李娜", 1, city="atlantis")
    with refused("unknown_city", city="atlantis"):
        await till.wallet.balance(1, "atlantis")


async def test_somebody_elses_money(till, refused) -> None:
    """The actor must be the payer, and sees no order of anybody else."""
    number = await till.number("李娜")
    with refused("not_allowed"):
        command = Transfer(till.ids["王小明"], number, Fen(1))
        await till.wallet.propose(command, actor=till.ids["李娜"], key=till.key())
    order = await till.propose("王小明", "李娜", 100)
    code, thief = await till.code(order), till.ids["李娜"]
    for attempt in (
        lambda: till.wallet.authorize(order.id, code, actor=thief, key=till.key()),
        lambda: till.wallet.cancel(order.id, actor=thief, key=till.key()),
        lambda: till.wallet.resend_code(order.id, actor=thief, key=till.key()),
        lambda: till.wallet.order(order.id, actor=thief),
        lambda: till.wallet.order(2**70, actor=thief),
        lambda: till.wallet.order(-1, actor=thief),
    ):
        with refused("order_not_found"):
            await attempt()


async def test_a_long_note(till, refused) -> None:
    """A hundred characters and no more."""
    assert len((await till.propose("王小明", "李娜", 1, note="好" * 100)).note) == 100
    with refused("invalid_note", limit=100):
        await till.propose("王小明", "李娜", 1, note="好" * 101)


async def test_the_single_limit(till, refused) -> None:
    """陈建国 has only his phone: 2,000 yuan at once, lifted by an identity check."""
    with refused("single_limit_exceeded", amount=200_001, limit=200_000, lifted_by="verify_identity"):
        await till.propose("陈建国", "李娜", 200_001)


async def _enrich(till, name: str, amount: int) -> None:
    """Give money through the books: a posted transfer from a wallet of the highest class."""
    await till.sql("UPDATE users SET level = 1 WHERE name = '王小明'")
    await till.transfer("王小明", name, amount)
    await till.sql("UPDATE users SET level = 2 WHERE name = '王小明'")


async def test_the_daily_limit_and_its_midnight(till, refused) -> None:
    """Used, left and the reset are told; at midnight in Shanghai the day is new, a minute before it is not."""
    await _enrich(till, "陈建国", 450_000)
    for amount in (200_000, 200_000):
        await till.transfer("陈建国", "李娜", amount)
    with refused(
        "daily_limit_exceeded",
        amount=100_001,
        limit=500_000,
        used=400_000,
        left=100_000,
        resets_at=DAY_END,
        lifted_by="verify_identity",
    ):
        await till.propose("陈建国", "张三丰", 100_001)
    till.clock.advance(hours=11, minutes=59)
    with refused(
        "daily_limit_exceeded",
        amount=100_001,
        limit=500_000,
        used=400_000,
        left=100_000,
        resets_at=DAY_END,
        lifted_by="verify_identity",
    ):
        await till.propose("陈建国", "张三丰", 100_001)
    till.clock.advance(minutes=1)
    with refused("insufficient_funds", amount=100_001, fee=0, available=60_000, missing=40_001):
        await till.propose("陈建国", "张三丰", 100_001)


async def test_the_daily_limit_again_when_posting(till, refused) -> None:
    """Two proposals that each fit don't fit together: the second is refused when its code comes."""
    await _enrich(till, "陈建国", 450_000)
    orders = [await till.propose("陈建国", "李娜", 180_000) for _ in range(3)]
    for order in orders[:2]:
        await till.authorize("陈建国", order)
    with refused(
        "daily_limit_exceeded",
        amount=180_000,
        limit=500_000,
        used=360_000,
        left=140_000,
        resets_at=DAY_END,
        lifted_by="verify_identity",
    ):
        await till.authorize("陈建国", orders[2])
    assert await till.held_by("陈建国") == 100_000


async def test_the_yearly_limit(till, refused) -> None:
    """The year's figure counts this year only."""
    await till.sql(
        "UPDATE accounts SET year = 2026, year_spent = 4999900 WHERE user_id = ? AND city = 'xiamen'", till.ids["陈建国"]
    )
    with refused(
        "yearly_limit_exceeded",
        amount=101,
        limit=5_000_000,
        used=4_999_900,
        left=100,
        resets_at=YEAR_END,
        lifted_by="verify_identity",
    ):
        await till.propose("陈建国", "李娜", 101)
    await till.transfer("陈建国", "李娜", 100)
    till.clock.advance(days=42)
    assert (await till.transfer("陈建国", "李娜", 101)).status == "posted"


async def test_what_the_payees_wallet_may_hold(till, refused) -> None:
    """A phone-only wallet holds 10,000 yuan at most; the payer learns no figure."""
    profile = till.wallet.profile("xiamen")
    limits = replace(profile.limits[4], balance=replace(profile.limits[4].balance, fen=10_500))
    shown = {**till.wallet.context.profiles, "xiamen": replace(profile, limits={**profile.limits, 4: limits})}
    object.__setattr__(till.wallet.context, "profiles", shown)
    assert (await till.transfer("王小明", "陈建国", 500)).status == "posted"
    with refused("payee_limit_exceeded"):
        await till.transfer("王小明", "陈建国", 1)


async def test_a_payer_frozen_after_the_proposal(till, refused) -> None:
    """The last check is made in the posting transaction, and ends the order."""
    order = await till.propose("王小明", "李娜", 100)
    await till.sql("UPDATE users SET status = 'frozen' WHERE id = ?", till.ids["王小明"])
    with refused("wallet_frozen", city="xiamen"):
        await till.authorize("王小明", order)
    with refused("order_not_open", status="refused"):
        await till.authorize("王小明", order)


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_keys_of_no_use(till, refused, key) -> None:
    """Empty or too long."""
    with refused("invalid_key"):
        await till.wallet.cancel(1, actor=1, key=key)


def test_the_table_of_refusals_is_complete() -> None:
    """Every error class stands in the table of the module's docstring, and nothing else does."""
    table = set(re.findall(r"^\| (\w+) \|", errors.__doc__ or "", re.MULTILINE)) - {"code"}
    assert table == set(errors.BY_CODE)
