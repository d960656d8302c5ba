"""The confirmation of an order: its own code, five tries, five minutes, one use."""

from __future__ import annotations

import pytest

from wallet_service.schema import metadata

DATABASES = ("sqlite", "postgresql")


def wrong(code: str) -> str:
    """Give another code."""
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def test_five_wrong_codes_end_the_order(till, refused) -> None:
    """The tries left are told; after the fifth even the right code comes too late."""
    order = await till.propose("王小明", "李娜", 100)
    code = await till.code(order)
    for left in (4, 3, 2, 1):
        with refused("wrong_code", tries_left=left):
            await till.authorize("王小明", order, wrong(code))
        assert (await till.wallet.order(order.id, actor=till.ids["王小明"])).tries_left == left
    with refused("order_locked", tries=5):
        await till.authorize("王小明", order, wrong(code))
    with refused("order_locked", tries=5):
        await till.authorize("王小明", order, code)
    ended = await till.wallet.order(order.id, actor=till.ids["王小明"])
    assert (ended.status, ended.refusal, ended.tries_left) == ("refused", "order_locked", 0)
    assert await till.held_by("王小明") == 500_000


@pytest.mark.parametrize("text", ["", "abc", "1" * 10_000, "000000 OR 1=1", "\x00"])
async def test_anything_that_is_no_code_is_a_wrong_code(till, refused, text) -> None:
    """Typed rubbish costs a try and nothing else."""
    order = await till.propose("王小明", "李娜", 100)
    with refused("wrong_code", tries_left=4):
        await till.authorize("王小明", order, text)


async def test_the_fourth_wrong_code_still_leaves_one_try(till, refused) -> None:
    """The right code at the fifth try posts."""
    order = await till.propose("王小明", "李娜", 100)
    code = await till.code(order)
    for left in (4, 3, 2, 1):
        with refused("wrong_code", tries_left=left):
            await till.authorize("王小明", order, wrong(code))
    assert (await till.authorize("王小明", order, code)).status == "posted"


async def test_a_code_lives_five_minutes(till, refused) -> None:
    """A second before the end it is good, at the end the order has expired, with nobody having touched it."""
    first, second = await till.propose("王小明", "李娜", 100), await till.propose("王小明", "李娜", 100)
    codes = await till.code(first), await till.code(second)
    till.clock.advance(minutes=4, seconds=59)
    assert (await till.authorize("王小明", first, codes[0])).status == "posted"
    till.clock.advance(seconds=1)
    actor = till.ids["王小明"]
    assert (await till.wallet.order(second.id, actor=actor)).status == "expired"
    for _ in range(2):
        with refused("code_expired", expired_at=second.expires_at.isoformat()):
            await till.authorize("王小明", second, codes[1])
    with refused("code_expired", expired_at=second.expires_at.isoformat()):
        await till.wallet.resend_code(second.id, actor=actor, key=till.key())
    assert (await till.wallet.cancel(second.id, actor=actor, key=till.key())).status == "expired"


async def test_a_code_works_once(till, refused) -> None:
    """The same code with a new key does not post again."""
    order = await till.propose("王小明", "李娜", 100)
    code = await till.code(order)
    await till.authorize("王小明", order, code)
    with refused("order_not_open", status="posted"):
        await till.authorize("王小明", order, code)
    assert await till.held_by("王小明") == 499_900


async def test_a_code_of_one_order_is_useless_for_another(till, refused) -> None:
    """Same payer, payee and amount, yet each order has its own code."""
    first, second = await till.propose("王小明", "李娜", 100), await till.propose("王小明", "李娜", 100)
    codes = await till.code(first), await till.code(second)
    assert codes[0] != codes[1]
    with refused("wrong_code", tries_left=4):
        await till.authorize("王小明", first, codes[1])
    assert (await till.authorize("王小明", second, codes[1])).status == "posted"


async def test_a_changed_order_needs_a_new_code(till, refused) -> None:
    """A correction cancels the order and proposes another, in one step; the first code is dead everywhere."""
    first = await till.propose("王小明", "李娜", 30_000)
    old = await till.code(first)
    second = await till.propose("王小明", "李娜", 50_000, replaces=first.id)
    assert (await till.wallet.order(first.id, actor=till.ids["王小明"])).status == "cancelled"
    with refused("order_not_open", status="cancelled"):
        await till.authorize("王小明", first, old)
    with refused("wrong_code", tries_left=4):
        await till.authorize("王小明", second, old)
    assert (await till.authorize("王小明", second)).amount == 50_000


async def test_an_order_taken_back_stays_so_when_the_new_one_is_refused(till, refused) -> None:
    """The old amount was said to be wrong: nobody may confirm it after the correction failed."""
    first = await till.propose("王小明", "李娜", 30_000)
    with refused("amount_not_positive", amount=0):
        await till.propose("王小明", "李娜", 0, replaces=first.id)
    assert (await till.wallet.order(first.id, actor=till.ids["王小明"])).status == "cancelled"


async def test_a_posted_order_cannot_be_replaced(till, refused) -> None:
    """A correction that comes after the posting does not pay a second time."""
    first = await till.transfer("王小明", "李娜", 100)
    with refused("order_not_open", status="posted"):
        await till.propose("王小明", "李娜", 200, replaces=first.id)


async def test_a_resent_code_replaces_the_old_one(till, refused) -> None:
    """Five new minutes, the wrong tries stay counted, the old code is dead, and three more codes are all there is."""
    order, actor = await till.propose("王小明", "李娜", 100), till.ids["王小明"]
    old = await till.code(order)
    with refused("wrong_code", tries_left=4):
        await till.authorize("王小明", order, wrong(old))
    till.clock.advance(minutes=4)
    fresh = await till.wallet.resend_code(order.id, actor=actor, key=till.key())
    assert (fresh.tries_left, fresh.expires_at) == (4, till.clock.now.replace(minute=9))
    new = await till.code(order)
    assert new != old
    with refused("wrong_code", tries_left=3):
        await till.authorize("王小明", order, old)
    for _ in range(2):
        await till.wallet.resend_code(order.id, actor=actor, key=till.key())
    with refused("too_many_codes", limit=4, retry_at=None):
        await till.wallet.resend_code(order.id, actor=actor, key=till.key())
    assert (await till.authorize("王小明", order)).status == "posted"


async def test_no_code_is_stored_or_logged(till, caplog, refused) -> None:
    """Neither the database's text nor the log ever holds a code, a login code or what somebody typed as one."""
    caplog.set_level("DEBUG")
    typed = []
    for _ in range(3):
        order = await till.propose("王小明", "李娜", 100)
        code = await till.code(order)
        with refused("wrong_code", tries_left=4):
            await till.authorize("王小明", order, wrong(code))
        await till.authorize("王小明", order, code)
        typed += [code, wrong(code)]
    challenge = await till.wallet.start_login("13800000002", key=till.key())
    login_code = await till.code()
    await till.wallet.finish_login(challenge.id, login_code, key=till.key())
    typed.append(login_code)
    kept = {str(value) for table in metadata.tables for row in await till.sql(f"SELECT * FROM {table}") for value in row}
    assert not kept & set(typed)
    outcomes = " ".join(str(row[0]) for row in await till.sql("SELECT outcome FROM replays"))
    for code in typed:
        assert f'"{code}"' not in outcomes
        assert code not in caplog.text
