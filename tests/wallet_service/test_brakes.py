"""The brakes on codes: wrong ones count per person over all orders, and nobody is sent codes without end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from wallet_service import CodeLimit, Fen, Pay, WalletError

DATABASES = ("sqlite", "postgresql")


async def _wrong(till, order, times: int = 1) -> list[str]:
    """Type so many wrong codes; give the refusals."""
    codes = []
    for _ in range(times):
        with pytest.raises(WalletError) as refusal:
            await till.authorize("王小明", order, "not it")
        codes.append(refusal.value.code)
    return codes


async def test_a_new_order_brings_no_new_tries(till, refused) -> None:
    """Two wrong codes, a correction, two more, an order of its own, and the fifth ends it; the next starts from five."""
    first = await till.propose("王小明", "李娜", 100)
    await _wrong(till, first, 2)
    second = await till.propose("王小明", "李娜", 200, replaces=first.id)
    assert second.tries_left == 3
    await _wrong(till, second, 2)
    third = await till.propose("王小明", "张三丰", 300)
    assert third.tries_left == 1
    with refused("order_locked", tries=5):
        await till.authorize("王小明", third, "not it")
    assert (await till.propose("王小明", "李娜", 400)).tries_left == 5


async def test_orders_side_by_side_share_the_tries(till, refused) -> None:
    """Three wrong codes for one open order and two for another are five in a row."""
    first, second = await till.propose("王小明", "李娜", 100), await till.propose("王小明", "李娜", 200)
    await _wrong(till, first, 3)
    with refused("wrong_code", tries_left=1):
        await till.authorize("王小明", second, "not it")
    with refused("order_locked", tries=5):
        await till.authorize("王小明", second, "not it")


async def test_a_right_code_starts_the_count_anew(till) -> None:
    """Four wrong ones, a right one: the next order has five tries; a correction still has no more than what it replaces."""
    open_one, paid = await till.propose("王小明", "李娜", 100), await till.propose("王小明", "李娜", 200)
    await _wrong(till, open_one, 4)
    await till.authorize("王小明", paid)
    assert (await till.propose("王小明", "李娜", 300)).tries_left == 5
    assert (await till.propose("王小明", "李娜", 400, replaces=open_one.id)).tries_left == 1


async def test_the_lock_rises(till, refused) -> None:
    """No payment is proposed, confirmed or sent a code again for 5 minutes after ten wrong codes, then 30, 120, a day, a day."""
    await _wrong(till, await till.propose("王小明", "李娜", 100), 5)
    for minutes in (5, 30, 120, 24 * 60, 24 * 60):
        waiting, guessed = await till.propose("王小明", "李娜", 1), await till.propose("王小明", "李娜", 2)
        code = await till.code(waiting)
        assert (await _wrong(till, guessed, 5))[-1] == "payments_locked"
        facts = {"retry_at": (till.clock.now + timedelta(minutes=minutes)).isoformat()}
        with refused("payments_locked", **facts):
            await till.propose("王小明", "李娜", 100)
        with refused("payments_locked", **facts):
            await till.authorize("王小明", waiting, code)
        with refused("payments_locked", **facts):
            await till.wallet.resend_code(waiting.id, actor=till.ids["王小明"], key=till.key())
        (told,) = [notice for notice in await till.collect() if notice.kind == "payments_locked"]
        assert (told.to, told.channel, told.facts["retry_at"]) == ("13800000001", "sms", facts["retry_at"])
        assert (await till.propose("李娜", "张三丰", 1)).status == "proposed"  # others go on
        till.clock.advance(minutes=minutes)
    assert (await till.transfer("王小明", "李娜", 100)).status == "posted"
    assert (await till.propose("王小明", "李娜", 100)).tries_left == 5


async def test_a_correction_brings_no_new_resends(till, refused) -> None:
    """Three codes were sent again for the order that is replaced: none more for the new one, whose own code is good."""
    actor, order = till.ids["王小明"], await till.propose("王小明", "李娜", 100)
    for _ in range(3):
        await till.wallet.resend_code(order.id, actor=actor, key=till.key())
    corrected = await till.propose("王小明", "李娜", 200, replaces=order.id)
    with refused("too_many_codes", limit=4, retry_at=None):
        await till.wallet.resend_code(corrected.id, actor=actor, key=till.key())
    assert (await till.authorize("王小明", corrected)).amount == 200


async def test_payment_codes_for_one_person_are_counted(till, refused) -> None:
    """A dozen corrections are ordinary; the 21st code in ten minutes is refused, and the 61st in a day, with the time to wait."""
    object.__setattr__(till.wallet.context, "code_limit", CodeLimit())
    start, order = till.clock.now, await till.propose("王小明", "李娜", 1)
    for amount in range(2, 14):
        order = await till.propose("王小明", "李娜", amount, replaces=order.id)
    assert (await till.authorize("王小明", order)).amount == 13
    for _ in range(7):
        await till.propose("王小明", "李娜", 100)
    with refused("too_many_codes", limit=20, retry_at=(start + timedelta(minutes=10)).isoformat()):
        await till.propose("王小明", "李娜", 100)
    for _ in range(2):
        till.clock.advance(minutes=10)
        for _ in range(20):
            await till.propose("王小明", "李娜", 100)
    till.clock.advance(minutes=10)
    with refused("too_many_codes", limit=60, retry_at=(start + timedelta(days=1)).isoformat()):
        await till.propose("王小明", "李娜", 100)
    assert (await till.propose("李娜", "王小明", 100)).status == "proposed"


async def test_codes_sent_again_count_when_they_are_sent(till, refused) -> None:
    """A log-in started long ago is no way round the ten minutes' limit."""
    challenge = await till.wallet.start_login("13800000001", key=till.key())
    till.clock.advance(minutes=11)
    for _ in range(3):
        await till.wallet.resend_login_code(challenge.id, key=till.key())
    with refused("too_many_codes", limit=3, retry_at=(till.clock.now + timedelta(minutes=10)).isoformat()):
        await till.wallet.resend_login_code(challenge.id, key=till.key())


async def test_a_log_in_is_told_to_the_phone(till) -> None:
    """Whose phone was used hears of it by SMS, with the time and without a code."""
    challenge = await till.wallet.start_login("13800000001", key=till.key())
    await till.wallet.finish_login(challenge.id, await till.code(), key=till.key())
    (notice,) = await till.collect()
    assert (notice.kind, notice.to, notice.channel, notice.user_id) == ("logged_in", "13800000001", "sms", till.ids["王小明"])
    assert notice.facts == {"at": till.clock.now.isoformat(), "city": None}


async def test_what_is_over_is_removed_after_a_week(till, refused) -> None:
    """Old keys and sent notices go; what waits, what is young and all money stay."""
    order = await till.propose("王小明", "李娜", 100, key="old")
    await till.authorize("王小明", order, key="older")
    till.clock.advance(days=6, hours=23)
    await till.wallet.start_login("13800000001", key=till.key())
    await till.wallet.tidy()
    assert await till.propose("王小明", "李娜", 100, key="old") == order
    till.clock.advance(hours=2)
    await till.wallet.tidy()
    assert [kind for (kind,) in await till.sql("SELECT kind FROM outbox ORDER BY id")] == [
        "payment_posted",
        "money_received",
        "login_code",
    ]
    assert await till.sql("SELECT COUNT(*) FROM replays") == [(1,)]
    assert (await till.wallet.verify()).ok


async def test_values_of_statements_are_in_no_error(till) -> None:
    """A failing statement is shown without the phone that it was about."""
    with pytest.raises(Exception) as failure:  # noqa: PT011 (each driver has its own)
        await till.sql("INSERT INTO users (phone) VALUES (?)", b"13812345678")
    assert "13812345678" not in str(failure.value)


async def test_the_keys_of_the_house_are_good_for_ever(till, refused) -> None:
    """A gift and a part of a refund have nothing but their key: years later it still gives the answer of the first time."""
    sides = await till.account("promotions"), await till.account("王小明")
    paid = await till.confirmed(Pay(till.ids["王小明"], (await till.merchant())[1], Fen(1_000)))
    gift = await till.wallet.book("top_up", *sides, Fen(100), key="gift/1")
    back = await till.wallet.refund(paid.id, Fen(300), key="refund/1")
    held = await till.standing(sides[1])
    till.clock.advance(days=800)
    await till.wallet.tidy()
    assert await till.wallet.book("top_up", *sides, Fen(100), key="gift/1") == gift
    assert await till.wallet.refund(paid.id, Fen(300), key="refund/1") == back
    with refused("key_reused"):
        await till.wallet.book("top_up", *sides, Fen(101), key="gift/1")
    assert await till.standing(sides[1]) == held
