"""A clock that jumps: no limit is widened, no code lives longer, nothing crashes; midnight and New Year to the millisecond."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wallet_service import Fen, Order, WalletError

DATABASES = ("sqlite", "postgresql")
BACK = (timedelta(hours=-13), timedelta(days=-1), timedelta(days=-365))  # over midnight, to yesterday, to last year
FORWARD = (timedelta(days=1), timedelta(days=366))
MILLISECOND = timedelta(milliseconds=1)
NEW_YEAR = datetime(2026, 12, 31, 16, tzinfo=UTC)  # midnight in Shanghai
ROOMS = ("most", "day_left", "year_left", "code_left", "static_left")


async def rooms(till) -> list[int]:
    """Give what is left of every limit of 王小明's wallet."""
    allowance = await till.wallet.allowance(till.ids["王小明"])
    return [getattr(allowance, name) for name in ROOMS]


async def used(till) -> tuple[int, int]:
    """Give what counts as paid out in the day and in the year."""
    allowance = await till.wallet.allowance(till.ids["王小明"])
    return allowance.day_used, allowance.year_used


async def refusal(call) -> str:
    """Give the code that a call is refused with."""
    with pytest.raises(WalletError) as refused:
        await call
    return refused.value.code


@pytest.mark.parametrize("jump", BACK, ids=str)
async def test_going_back_widens_no_limit(till, jump) -> None:
    """What was spent stays spent on an earlier day, in an earlier year, and when the clock is right again."""
    year = (await used(till))[1]
    await till.transfer("王小明", "李娜", 450_000)
    before, start = await rooms(till), till.clock.now
    till.clock.now += jump
    assert all(now <= then for now, then in zip(await rooms(till), before, strict=True))
    assert (await till.wallet.affords(till.ids["王小明"], Fen(50_001))).refusal in ("second_factor_needed", "insufficient_funds")
    await till.transfer("王小明", "李娜", 40_000)
    till.clock.now = start
    assert await used(till) == (490_000, year + 490_000)
    till.clock.advance(days=1)
    assert (await used(till))[0] == 0
    assert (await till.wallet.verify()).ok


async def test_the_day_and_the_year_end_at_midnight_in_shanghai(till) -> None:
    """A millisecond before New Year a payment counts in the old day and year, at New Year in the new ones; its code lives on."""
    till.clock.now, year = NEW_YEAR - MILLISECOND, (await used(till))[1]
    first, second = await till.propose("王小明", "李娜", 100), await till.propose("王小明", "李娜", 200)
    old = await till.authorize("王小明", first)
    assert await used(till) == (100, year + 100)
    till.clock.now = NEW_YEAR
    assert await used(till) == (0, 0)
    new = await till.authorize("王小明", second)
    assert await used(till) == (200, 200)
    assert (old.receipt_no[:8], new.receipt_no[:8]) == ("20261231", "20270101")
    till.clock.now = NEW_YEAR - MILLISECOND
    await till.transfer("王小明", "李娜", 300)
    till.clock.now = NEW_YEAR
    assert await used(till) == (500, 500)  # the old year does not come back
    assert (await till.wallet.verify()).ok


@pytest.mark.parametrize(("early", "late"), [(MILLISECOND, timedelta()), (timedelta(microseconds=1), timedelta(microseconds=1))])
async def test_a_code_dies_at_the_very_millisecond(till, early, late) -> None:
    """An order's and a log-in's code are good to the last moment before five minutes are over, and not at it."""
    orders = [await till.propose("王小明", "李娜", 100) for _ in range(2)]
    codes = [await till.code(order) for order in orders]
    logins = [(await till.wallet.start_login("13800000002", key=till.key()), await till.code()) for _ in range(2)]
    till.clock.now = orders[0].expires_at - early
    assert (await till.authorize("王小明", orders[0], codes[0])).status == "posted"
    assert (await till.wallet.finish_login(logins[0][0].id, logins[0][1], key=till.key())).name == "李娜"
    till.clock.now = orders[1].expires_at + late
    assert await refusal(till.authorize("王小明", orders[1], codes[1])) == "code_expired"
    assert await refusal(till.wallet.finish_login(logins[1][0].id, logins[1][1], key=till.key())) == "code_expired"
    assert (await shown(till, orders[1])).status == "expired"


async def shown(till, order: Order) -> Order:
    """Look at an order."""
    return await till.wallet.order(order.id, actor=till.ids["王小明"])


@pytest.mark.parametrize("jump", [*BACK, *FORWARD, timedelta(minutes=-2)], ids=str)
async def test_no_code_outlives_a_jump(till, jump) -> None:
    """Whichever way the clock goes, a code that was sent before is over, and no code that waits is sent any more."""
    order, unsent = await till.propose("王小明", "李娜", 100), await till.propose("王小明", "李娜", 200)
    code = await till.code(order)
    await till.wallet.resend_code(unsent.id, actor=till.ids["王小明"], key=till.key())
    login = await till.wallet.start_login("13800000002", key=till.key())
    change = await till.wallet.start_change(till.ids["李娜"], "set_password", key=till.key())
    till.clock.now += jump
    assert await refusal(till.authorize("王小明", order, code)) == "code_expired"
    assert await refusal(till.wallet.resend_code(order.id, actor=till.ids["王小明"], key=till.key())) == "code_expired"
    assert await refusal(till.wallet.finish_login(login.id, "000000", key=till.key())) == "code_expired"
    assert await refusal(till.wallet.prove_change(till.ids["李娜"], change.id, "000000", key=till.key())) == "code_expired"
    assert [notice for notice in await till.collect() if "code" in notice.facts] == []
    assert (await till.wallet.cancel(order.id, actor=till.ids["王小明"], key=till.key())).status == "expired"
    assert (await till.transfer("王小明", "李娜", 300)).status == "posted"
    assert (await till.wallet.verify()).ok


async def test_clocks_of_two_workers_may_differ(till) -> None:
    """What one of them sends, another whose clock is a moment behind takes."""
    order = await till.propose("王小明", "李娜", 100)
    code = await till.code(order)
    till.clock.advance(seconds=-30)
    assert (await till.authorize("王小明", order, code)).status == "posted"


@pytest.mark.parametrize("jump", BACK, ids=str)
async def test_going_back_brings_no_new_tries_and_no_more_codes(till, jump) -> None:
    """Wrong codes stay counted, a lock stays shut, a phone that was sent enough is sent no more."""
    for _ in range(2):
        order = await till.propose("王小明", "李娜", 100)
        for _ in range(5):
            await refusal(till.authorize("王小明", order, "wrong"))
    for _ in range(3):
        await till.wallet.start_login("13800000002", key=till.key())
    till.clock.now += jump
    assert await refusal(till.propose("王小明", "李娜", 100)) == "payments_locked"
    assert await refusal(till.wallet.start_login("13800000002", key=till.key())) == "too_many_codes"
    till.clock.now -= jump
    till.clock.advance(minutes=5)
    last = await till.propose("王小明", "李娜", 100)
    assert [await refusal(till.authorize("王小明", last, "wrong")) for _ in range(5)][-1] == "payments_locked"


@pytest.mark.parametrize("jump", [*BACK, *FORWARD], ids=str)
async def test_what_is_on_its_way_arrives_once(till, jump) -> None:
    """A delayed transfer arrives when its time has come by the clock, however that gets there; its money is held till then."""
    order = await till.transfer("王小明", "李娜", 1_000, delay=7_200)
    start = till.clock.now
    till.clock.now += jump
    await till.wallet.run_due()
    arrived = jump > timedelta()
    assert (await shown(till, order)).status == ("posted" if arrived else "authorised")
    assert await till.held_by("王小明") == 499_000
    till.clock.now = start + timedelta(seconds=7_200) - MILLISECOND
    await till.wallet.run_due()
    assert (await shown(till, order)).status == ("posted" if arrived else "authorised")
    till.clock.now += MILLISECOND
    await till.wallet.run_due()
    assert (await shown(till, order)).status == "posted"
    assert (await till.held_by("王小明"), await till.held_by("李娜")) == (499_000, 81_000)
    await till.wallet.seal()
    assert (await till.wallet.verify()).ok


@pytest.mark.parametrize("jump", [*BACK, *FORWARD], ids=str)
async def test_a_key_gives_its_result_at_any_time(till, jump) -> None:
    """A repeat after the jump is the same wish still."""
    order = await till.propose("王小明", "李娜", 100, key="p")
    posted = await till.authorize("王小明", order, await till.code(order), key="a")
    code = await till.code(order)
    till.clock.now += jump
    assert await till.propose("王小明", "李娜", 100, key="p") == order
    assert await till.authorize("王小明", order, code, key="a") == posted
    assert await till.held_by("王小明") == 499_900


async def test_an_operator_gets_out_of_a_jump_ahead(till) -> None:
    """What docs/decisions.md says: counted again from the orders, what was paid today and this year stays counted, no more."""
    await till.transfer("王小明", "李娜", 1_000)
    before = await rooms(till)
    right = till.clock.now
    till.clock.now += timedelta(days=3_650)
    await till.transfer("王小明", "李娜", 2_000)
    till.clock.now = right
    assert (await used(till))[0] == 2_000
    (block,) = re.findall(r"```sql\n(.*?)```", (Path(__file__).parents[2] / "docs/decisions.md").read_text("utf-8"), re.DOTALL)
    for statement in block.split(";")[:-1]:
        await till.sql(statement.replace(":today", "20261120").replace(":year", "2026"))
    left = await rooms(till)
    assert left[1:] == before[1:]
    assert (await used(till))[0] == 1_000
    assert (await till.wallet.verify()).faults == ()
    assert (await till.transfer("王小明", "李娜", 500)).status == "posted"
