"""Limits: what counts against which, when it counts, and when it is given back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from wallet_service import Fen, Pay, TopUp, Withdraw
from wallet_service.combining import Wish
from wallet_service.orders import new_order
from wallet_service.posting import check_payee, check_payer, post
from wallet_service.schema import passwords
from wallet_service.sheet import Sheet

DATABASES = ("sqlite", "postgresql")
WORKING = False
TOMORROW, NEXT_YEAR = "2026-11-20T16:00:00+00:00", "2026-12-31T16:00:00+00:00"


async def _counted(till, name: str = "王小明") -> tuple[int, int, int]:
    """Give what counts of the day, the year and the day's static codes."""
    found = await till.sql("SELECT day_spent, year_spent, static_spent FROM accounts WHERE id = ?", await till.account(name))
    return found[0]


async def _pay(till, amount: int, *, static: bool = True, place: int = 0):
    return await till.confirmed(Pay(till.ids["王小明"], (await till.merchant(place))[1], Fen(amount), static=static))


async def test_static_codes_have_a_limit_of_their_own(till, refused) -> None:
    """500 yuan a day over all merchants; a dynamic code is free of it; the next day it begins anew."""
    await _pay(till, 30_000)
    await _pay(till, 19_999, place=1)
    await _pay(till, 100_000, static=False)
    figures = {"limit": 50_000, "used": 49_999, "left": 1, "resets_at": TOMORROW, "lifted_by": "pay_dynamic_code"}
    with refused("static_limit_exceeded", amount=2, **figures):
        await _pay(till, 2)
    await _pay(till, 1)
    assert await _counted(till) == (150_000, (await _counted(till))[1], 50_000)
    till.clock.advance(hours=12)
    await _pay(till, 50_000)


async def test_a_limit_is_judged_again_when_it_is_confirmed(till, refused) -> None:
    """Two payments by static code that fit one by one: the second is refused with its code, and over."""
    payer, number = till.ids["王小明"], (await till.merchant())[1]
    first, second = [await till.wish(Pay(payer, number, Fen(30_000), static=True)) for _ in range(2)]
    await till.authorize("王小明", first)
    figures = {"limit": 50_000, "used": 30_000, "left": 20_000, "resets_at": TOMORROW, "lifted_by": "pay_dynamic_code"}
    with refused("static_limit_exceeded", amount=30_000, **figures):
        await till.authorize("王小明", second)
    ended = await till.wallet.order(second.id, actor=payer)
    assert (ended.status, ended.refusal) == ("refused", "static_limit_exceeded")


async def test_the_code_alone_confirms_so_much_a_day(till, refused) -> None:
    """5,000 yuan of payments; to one's own card any sum that the class allows, which counts for the payments after it."""
    await till.give("王小明", 1_000_000)
    user, card = till.ids["王小明"], await till.card()
    await till.transfer("王小明", "李娜", 400_000)
    figures = {"limit": 500_000, "used": 400_000, "left": 100_000, "resets_at": TOMORROW, "lifted_by": "set_second_factor"}
    with refused("second_factor_needed", amount=100_001, **figures):
        await till.propose("王小明", "李娜", 100_001)
    assert (await till.confirmed(Withdraw(user, card, Fen(600_000)))).status == "authorised"
    with refused("second_factor_needed", amount=1, **{**figures, "used": 1_000_000, "left": 0}):
        await till.propose("王小明", "李娜", 1)
    assert (await till.wish(TopUp(user, card, Fen(600_000)))).second == ""


async def test_a_second_factor_is_asked_and_waited_for(till, refused) -> None:
    """With one set up, the order needs it; its code alone leaves it open, and with the proof it is posted."""
    user = till.ids["王小明"]
    await till.give("王小明", 100_000)
    await till.write(insert(passwords).values(user_id=user, hash="x", changed_at=till.clock.now))
    order = await till.propose("王小明", "李娜", 500_001)
    assert order.second == "needed"
    code = await till.code(order)
    for _ in range(2):
        with refused("second_factor_missing"):
            await till.authorize("王小明", order, code)
    assert (await till.wallet.order(order.id, actor=user)).status == "proposed"
    await till.sql("UPDATE orders SET second = 'proven' WHERE id = ?", order.id)
    assert (await till.authorize("王小明", order, code)).status == "posted"


@dataclass(frozen=True, slots=True)
class Charge(Wish[int]):
    """A payment that its payer confirms by showing a code to a merchant, as nothing else here makes it."""

    user: int
    payer: int
    payee: int
    amount: int

    def account_ids(self) -> tuple[int, ...]:
        """Give both sides."""
        return (self.payer, self.payee)

    def new_orders(self) -> int:
        """Make one order."""
        return 1

    def decide(self, sheet: Sheet, ids: Sequence[int]) -> int:
        """Judge it and post it."""
        sides = {"payer_id": self.payer, "payee_id": self.payee, "actor_id": self.user, "amount": self.amount}
        made = {"nonce": bytes(16), "created_at": sheet.now, "expires_at": sheet.now}
        row = new_order(id=ids[0], kind="pay", method="code", **sides, **made)
        spending = check_payer(sheet, row)
        check_payee(sheet, row)
        sheet.add_order(row)
        post(sheet, row["id"], spending)
        return ids[0]


async def test_what_nobody_confirms_by_a_code_has_the_lowest_limit(till, refused) -> None:
    """1,000 yuan a day, counted with everything else that was paid."""

    async def charge(amount: int) -> int:
        sides = await till.account("王小明"), (await till.merchant())[0]
        return await till.wallet._combiner.submit(Charge(till.ids["王小明"], *sides, amount))

    await till.transfer("王小明", "李娜", 30_000)
    await charge(70_000)
    figures = {"limit": 100_000, "used": 100_000, "left": 0, "resets_at": TOMORROW, "lifted_by": "pay_by_code"}
    with refused("uncoded_limit_exceeded", amount=1, **figures):
        await charge(1)
    await till.transfer("王小明", "李娜", 1)
    till.clock.advance(days=1)
    await charge(100_000)
    assert (await till.wallet.verify()).faults == ()


async def test_what_is_topped_up_counts_for_nothing(till) -> None:
    """Money that comes in is no payment: no limit of the day, no factor, only what the wallet may hold."""
    before = await _counted(till)
    await till.confirmed(TopUp(till.ids["王小明"], await till.card(), Fen(20_000_000)))
    await till.wallet.run_due()
    assert (await _counted(till), await till.held_by("王小明")) == (before, 20_500_000)


async def _voided(till, amount: int, later: timedelta) -> None:
    order = await till.transfer("王小明", "李娜", amount, delay=86_400)
    till.clock.advance(seconds=later.total_seconds())
    await till.wallet.recall(order.id, actor=till.ids["王小明"], key=till.key())


async def test_what_goes_back_on_the_same_day_is_free_to_be_spent_again(till) -> None:
    """The day and the year are as if nothing had been; the whole limit may be paid out again."""
    before = await _counted(till)
    for _ in range(3):
        await _voided(till, 450_000, timedelta(hours=1))
        assert await _counted(till) == (0, before[1], 0)
    await till.transfer("王小明", "李娜", 450_000)
    assert (await till.wallet.verify()).faults == ()


async def test_what_goes_back_on_a_later_day_leaves_that_days_limit_alone(till) -> None:
    """Yesterday's limit is past; today's was not touched; the year's is given back."""
    year = (await _counted(till))[1]
    order = await till.transfer("王小明", "李娜", 450_000, delay=86_400)
    till.clock.advance(hours=13)  # the next day in Shanghai
    await till.transfer("王小明", "李娜", 20_000)
    await till.wallet.recall(order.id, actor=till.ids["王小明"], key=till.key())
    assert await _counted(till) == (20_000, year + 20_000, 0)
    assert (await till.wallet.verify()).faults == ()


async def test_what_goes_back_in_a_later_year_leaves_that_years_limit_alone(till) -> None:
    """Confirmed in the last hour of December, recalled in January, before and after something else was paid."""
    till.clock.now = datetime(2026, 12, 31, 15, 30, tzinfo=UTC)
    first, second = [await till.transfer("王小明", "李娜", 10_000, delay=86_400) for _ in range(2)]
    till.clock.advance(hours=1)
    await till.wallet.recall(first.id, actor=till.ids["王小明"], key=till.key())
    await till.transfer("王小明", "李娜", 700)
    await till.wallet.recall(second.id, actor=till.ids["王小明"], key=till.key())
    assert await _counted(till) == (700, 700, 0)
    assert (await till.wallet.verify()).faults == ()


async def test_what_is_posted_in_part_counts_in_part(till) -> None:
    """The rest of a hold is given back to the day on which it was confirmed."""
    order = await till.transfer("王小明", "李娜", 100_000, delay=86_400)
    await till.wallet.capture(order.id, Fen(30_000), key=till.key())
    assert (await _counted(till))[0] == 30_000
    order = await till.transfer("王小明", "李娜", 100_000, delay=86_400)
    till.clock.advance(hours=13)
    await till.wallet.capture(order.id, Fen(30_000), key=till.key())
    assert (await _counted(till))[0] == 60_000  # of the day before, which is over
    assert (await till.wallet.allowance(till.ids["王小明"])).day_used == 0
    assert (await till.wallet.verify()).faults == ()


async def test_a_clock_that_goes_back_gives_no_limit_back(till, refused) -> None:
    """What counted tomorrow counts when it is today again; a hold confirmed ahead is given back where it counted."""
    await till.give("王小明", 100_000)
    till.clock.advance(hours=13)
    await till.transfer("王小明", "李娜", 300_000)
    held = await till.transfer("王小明", "李娜", 100_000, delay=86_400)
    till.clock.advance(hours=-13)
    figures = {"limit": 500_000, "used": 400_000, "left": 100_000, "lifted_by": "set_second_factor"}
    with refused("second_factor_needed", amount=100_001, resets_at="2026-11-21T16:00:00+00:00", **figures):
        await till.propose("王小明", "李娜", 100_001)
    await till.wallet.recall(held.id, actor=till.ids["王小明"], key=till.key())
    assert (await _counted(till))[0] == 300_000
    assert (await till.wallet.verify()).faults == ()


@pytest.mark.parametrize("level", [1, 2, 3, 4])
async def test_the_limits_are_those_of_the_level(till, level) -> None:
    """What each class may pay at once and in a day stands in the profile, and is what is refused by."""
    user, limits = till.ids["王小明"], till.wallet.profile("xiamen").limits[level]
    await till.sql("UPDATE users SET level = ? WHERE id = ?", level, user)
    for amount, refusal in ((limits.single.fen, "insufficient_funds"), (limits.single.fen + 1, "single_limit_exceeded")):
        preview = await till.wallet.preview(Withdraw(user, await till.card(), Fen(amount)), actor=user)
        assert preview.refusal in (refusal, None) if amount == limits.single.fen else preview.refusal == refusal
    spent = {"day": (limits.day.fen, 0, TOMORROW), "year": (0, limits.year.fen, NEXT_YEAR)}
    for period, (in_day, in_year, resets_at) in spent.items():
        counters = "day = 20261120, year = 2026, day_spent = ?, year_spent = ?"
        await till.sql(f"UPDATE accounts SET {counters} WHERE user_id = ?", in_day, in_year, user)
        preview = await till.wallet.preview(Withdraw(user, await till.card(), Fen(1)), actor=user)
        assert preview.refusal == {"day": "daily_limit_exceeded", "year": "yearly_limit_exceeded"}[period]
        assert (preview.facts["limit"], preview.facts["left"]) == (in_day + in_year, 0)
        assert preview.facts["resets_at"] == resets_at
