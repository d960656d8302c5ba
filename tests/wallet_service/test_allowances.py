"""What is left to spend: by each rule, and for one sum."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from wallet_service import Fen, errors
from wallet_service.schema import passwords

DATABASES = ("sqlite", "postgresql")


async def test_an_allowance_is_what_each_rule_leaves(till) -> None:
    """Counted from what was paid out today and this year, with when that begins anew and what would lift it."""
    await till.transfer("王小明", "陈建国", 400_000)
    await till.transfer("陈建国", "李娜", 150_000)
    found = await till.wallet.allowance(till.ids["陈建国"])
    assert (found.city, found.level, found.status, found.lifted_by) == ("xiamen", 4, "active", "verify_identity")
    assert (found.single_limit, found.day_limit, found.day_used, found.day_left) == (200_000, 500_000, 150_000, 350_000)
    assert (found.year_limit, found.year_used, found.year_left) == (5_000_000, 150_000, 4_850_000)
    assert (found.code_limit, found.code_left, found.second) == (500_000, 350_000, False)
    assert (found.static_limit, found.static_left) == (50_000, 50_000)
    assert (found.available, found.most) == (260_000, 200_000)
    assert found.day_resets_at == datetime(2026, 11, 20, 16, tzinfo=UTC)
    assert found.year_resets_at == datetime(2026, 12, 31, 16, tzinfo=UTC)


async def test_what_is_held_counts_as_spent_until_it_is_recalled(till) -> None:
    """Of the balance and of the day alike."""
    wang = till.ids["王小明"]
    order = await till.transfer("王小明", "李娜", 100_000, delay=7_200)
    found = await till.wallet.allowance(wang)
    assert (found.available, found.day_used, found.code_left, found.most) == (400_000, 100_000, 400_000, 400_000)
    await till.wallet.recall(order.id, actor=wang, key=till.key())
    found = await till.wallet.allowance(wang)
    assert (found.available, found.day_used, found.code_left) == (500_000, 0, 500_000)


async def test_most_is_what_really_passes(till) -> None:
    """It may be proposed, and a fen more may not: with the code alone, and with a second factor."""
    wang = till.ids["王小明"]
    await till.transfer("李娜", "王小明", 60_000)
    alone = await till.wallet.allowance(wang)
    assert (alone.available, alone.most, alone.second) == (560_000, 500_000, False)
    assert (await till.propose("王小明", "李娜", alone.most)).status == "proposed"
    with pytest.raises(errors.SecondFactorNeeded):
        await till.propose("王小明", "李娜", alone.most + 1)
    await till.write(insert(passwords).values(user_id=wang, hash="x", changed_at=till.clock.now))
    both = await till.wallet.allowance(wang)
    assert (both.most, both.second) == (560_000, True)
    assert (await till.propose("王小明", "李娜", both.most)).second == "needed"
    with pytest.raises(errors.InsufficientFunds):
        await till.propose("王小明", "李娜", both.most + 1)


async def test_who_may_not_pay_has_nothing_to_spend(till) -> None:
    """A frozen person's figures are told, and that none of them is of use."""
    found = await till.wallet.allowance(till.ids["赵敏"])
    assert (found.status, found.most, found.day_left) == ("frozen", 0, 1_000_000)


@pytest.mark.parametrize(
    ("name", "amount", "refusal", "left"),
    [
        ("陈建国", 10_000, None, None),
        ("陈建国", 10_001, "insufficient_funds", None),
        ("陈建国", 200_001, "single_limit_exceeded", None),
        ("王小明", 500_000, None, None),
        ("李娜", 500_000, "insufficient_funds", None),
        ("赵敏", 1, "wallet_frozen", None),
        ("李娜", 0, "amount_not_positive", None),
        ("李娜", 10**30, "amount_too_large", None),
    ],
)
async def test_a_sum_is_judged_by_its_payers_own_rules(till, name, amount, refusal, left) -> None:
    """Whoever would be paid; the refusal is that of a real transfer, and nothing is kept."""
    before = await till.sql("SELECT count(*) FROM orders")
    found = await till.wallet.affords(till.ids[name], Fen(amount))
    assert (found.allowed, found.refusal) == (refusal is None, refusal)
    if refusal is None:
        assert (found.fee, found.total) == (0, amount)
        assert (await till.propose(name, "张三丰", amount)).status == "proposed"
    elif refusal != "amount_too_large":
        with pytest.raises(errors.BY_CODE[refusal]) as caught:
            await till.propose(name, "张三丰", amount)
        assert caught.value.facts == found.facts
        assert await till.sql("SELECT count(*) FROM orders") == before


async def test_a_sum_above_what_is_left_of_the_day_tells_the_figures(till) -> None:
    """What was spent, what is left, when it begins anew."""
    await till.transfer("王小明", "陈建国", 450_000)
    await till.transfer("陈建国", "李娜", 200_000)
    await till.transfer("陈建国", "李娜", 200_000)
    found = await till.wallet.affords(till.ids["陈建国"], Fen(150_000))
    assert found.refusal == "daily_limit_exceeded"
    assert (found.facts["used"], found.facts["left"], found.facts["lifted_by"]) == (400_000, 100_000, "verify_identity")


async def test_a_wallet_in_another_city_is_asked_for_by_its_name(till) -> None:
    """A person without one there is told so."""
    stranger = await till.newcomer("13900000077", city="shanxi")
    assert (await till.wallet.affords(stranger.id, Fen(1), "lanzhou")).refusal == "no_wallet"
    with pytest.raises(errors.NoWallet):
        await till.wallet.allowance(stranger.id, "lanzhou")
    assert (await till.wallet.allowance(stranger.id)).city == "shanxi"
