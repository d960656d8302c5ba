"""Guessing: whoever tries codes in bulk, at once, over many orders, log-ins or processes, has no more tries than one by one."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from itertools import cycle

from wallet_service import WalletError

DATABASES = ("sqlite", "postgresql")
GUESSES = 40


async def outcome(call) -> str:
    """Give what became of a guess: the code of the refusal, or that it was right."""
    try:
        await call
    except WalletError as refusal:
        return refusal.code
    return "right"


def guesses(code: str, count: int = GUESSES) -> list[str]:
    """Give so many codes, none of them the right one."""
    return [f"{(int(code) + 1 + number) % 1_000_000:06d}" for number in range(count)]


async def wallets(till, stack: AsyncExitStack):
    """Give wallets of three processes by turns."""
    return cycle([till.wallet, *[await stack.enter_async_context(till.reopened()) for _ in range(2)]])


async def test_one_order_at_once(till) -> None:
    """Forty wrong codes for one order from three processes: four are told what is left, the fifth ends it, none counts more."""
    order, actor = await till.propose("王小明", "李娜", 100), till.ids["王小明"]
    code = await till.code(order)
    async with AsyncExitStack() as stack:
        each = await wallets(till, stack)
        calls = (next(each).authorize(order.id, guess, actor=actor, key=till.key()) for guess in guesses(code))
        seen = Counter(await asyncio.gather(*map(outcome, calls)))
    assert seen == {"wrong_code": 4, "order_locked": GUESSES - 4}
    assert await outcome(till.authorize("王小明", order, code)) == "order_locked"
    ((wrong,),) = await till.sql("SELECT wrong_codes FROM users WHERE id = ?", actor)
    assert wrong == 5


async def test_many_orders_at_once(till) -> None:
    """Eight orders are open, forty codes are tried over all of them at once: ten are judged, then nothing is for five minutes."""
    actor = till.ids["王小明"]
    orders = [await till.propose("王小明", "李娜", 100 + number) for number in range(8)]
    codes = [await till.code(order) for order in orders]
    async with AsyncExitStack() as stack:
        each = await wallets(till, stack)
        tried = [(order, guess) for order, code in zip(orders, codes, strict=True) for guess in guesses(code, 5)]
        calls = (next(each).authorize(order.id, guess, actor=actor, key=till.key()) for order, guess in tried)
        seen = Counter(await asyncio.gather(*map(outcome, calls)))
    ((wrong,),) = await till.sql("SELECT wrong_codes FROM users WHERE id = ?", actor)
    assert wrong == 10
    assert seen["wrong_code"] == 8  # the fifth and the tenth end their orders
    assert seen["payments_locked"] >= len(tried) - 10 - 2 * 4
    assert seen["right"] == 0
    for order, code in zip(orders, codes, strict=True):
        assert await outcome(till.authorize("王小明", order, code)) in ("payments_locked", "order_locked")
    assert await till.held_by("王小明") == 500_000


async def test_one_login_at_once(till) -> None:
    """Forty wrong codes for one log-in from three processes: five are judged, the right one comes too late."""
    challenge = await till.wallet.start_login("13800000001", key=till.key())
    code = await till.code()
    async with AsyncExitStack() as stack:
        each = await wallets(till, stack)
        calls = (next(each).finish_login(challenge.id, guess, key=till.key()) for guess in guesses(code))
        seen = Counter(await asyncio.gather(*map(outcome, calls)))
    assert seen == {"wrong_code": 4, "login_locked": GUESSES - 4}
    assert await outcome(till.wallet.finish_login(challenge.id, code, key=till.key())) == "login_locked"


async def test_a_day_of_guessing_at_one_phone(till) -> None:
    """New log-ins bring new tries, but no phone is sent more codes than its day allows: five guesses for each of five codes."""
    judged = 0
    for _ in range(24 * 3):
        begun = await outcome(till.wallet.start_login("13800000001", key=till.key()))
        if begun == "right":
            ((number,),) = await till.sql("SELECT MAX(id) FROM challenges")
            challenge = till.wallet.context.keys.public_id("login", number)
            for _ in range(7):
                judged += await outcome(till.wallet.finish_login(challenge, "x", key=till.key())) == "wrong_code"
        till.clock.advance(minutes=20)
    assert judged == 5 * 4  # and the fifth of each is told that it was the last


async def test_a_right_code_among_many_at_once_posts_once(till) -> None:
    """The right code typed twenty times at once, each time as a new wish: one receipt, nineteen are told that it is done."""
    order, actor = await till.propose("王小明", "李娜", 100), till.ids["王小明"]
    code = await till.code(order)
    async with AsyncExitStack() as stack:
        each = await wallets(till, stack)
        calls = (next(each).authorize(order.id, code, actor=actor, key=till.key()) for _ in range(20))
        seen = Counter(await asyncio.gather(*map(outcome, calls)))
    assert seen == {"right": 1, "order_not_open": 19}
    assert await till.held_by("王小明") == 499_900
    assert (await till.wallet.verify()).ok


async def test_a_code_is_good_for_one_thing_only(till) -> None:
    """Codes of another order, of another person's, of a log-in and of a change: each is wrong everywhere but at its own place."""
    wallet, ids, key = till.wallet, till.ids, till.key
    mine, other = await till.propose("王小明", "李娜", 100), await till.propose("王小明", "李娜", 100)
    theirs = await till.propose("李娜", "张三丰", 100)
    codes = {"mine": await till.code(mine), "other": await till.code(other), "theirs": await till.code(theirs)}
    login = await wallet.start_login("13800000001", key=key())
    codes["login"] = await till.code()
    change = await wallet.start_change(ids["王小明"], "set_password", key=key())
    codes["change"] = await till.code()
    assert len(set(codes.values())) == 5
    places = {
        "mine": lambda code: wallet.authorize(mine.id, code, actor=ids["王小明"], key=key()),
        "theirs": lambda code: wallet.authorize(theirs.id, code, actor=ids["李娜"], key=key()),
        "login": lambda code: wallet.finish_login(login.id, code, key=key()),
        "change": lambda code: wallet.prove_change(ids["王小明"], change.id, code, key=key()),
    }
    for place, take in places.items():
        for name, code in codes.items():
            if name != place:
                assert await outcome(take(code)) == "wrong_code", (place, name)
            if place in ("mine", "change"):
                await till.sql("UPDATE users SET wrong_codes = 0 WHERE id = ?", ids["王小明"])
        assert await outcome(take(codes[place])) == "right", place
        assert await outcome(take(codes[place])) in ("order_not_open", "challenge_not_found", "change_not_found"), place  # once
    assert await outcome(wallet.authorize(other.id, codes["other"], actor=ids["李娜"], key=key())) == "order_not_found"


async def test_a_code_that_was_replaced_is_dead(till) -> None:
    """After a resend, a correction and a cancellation the old code is wrong or too late, for log-ins and changes too."""
    wallet, actor, key = till.wallet, till.ids["王小明"], till.key
    order = await till.propose("王小明", "李娜", 100)
    first = await till.code(order)
    await wallet.resend_code(order.id, actor=actor, key=key())
    second = await till.code(order)
    assert await outcome(till.authorize("王小明", order, first)) == "wrong_code"
    corrected = await till.propose("王小明", "李娜", 200, replaces=order.id)
    assert await outcome(till.authorize("王小明", order, second)) == "order_not_open"
    assert await outcome(till.authorize("王小明", corrected, second)) == "wrong_code"
    third = await till.code(corrected)
    await wallet.cancel(corrected.id, actor=actor, key=key())
    assert await outcome(till.authorize("王小明", corrected, third)) == "order_not_open"
    login = await wallet.start_login("13800000001", key=key())
    old = await till.code()
    await wallet.resend_login_code(login.id, key=key())
    assert await outcome(wallet.finish_login(login.id, old, key=key())) == "wrong_code"
    assert await outcome(wallet.finish_login(login.id, await till.code(), key=key())) == "right"
