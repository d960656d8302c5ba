"""Notices: written with what they tell of, claimed once, void when they are late."""

from __future__ import annotations

import asyncio
from datetime import timedelta


async def test_a_payment_code_tells_what_it_confirms(till) -> None:
    """Amount, payee and the code, to the payer's phone by SMS; the code shows in no repr."""
    order = await till.propose("王小明", "李娜", 12_345, note="午饭")
    (notice,) = await till.wallet.claim_notices()
    assert (notice.kind, notice.to, notice.channel, notice.user_id) == ("payment_code", "13800000001", "sms", till.ids["王小明"])
    facts = notice.facts
    assert (facts["order_id"], facts["amount"], facts["fee"], facts["city"]) == (order.id, 12_345, 0, "xiamen")
    assert (facts["payee_name_masked"], facts["payee_phone_masked"]) == ("*娜", "138****0002")
    assert facts["expires_at"] == order.expires_at.isoformat()
    assert facts["code"] not in repr(notice)
    assert "13800000001" not in repr(notice)


async def test_a_posting_tells_both_sides(till) -> None:
    """A receipt for the payer, good news for the payee in the payee's city."""
    order = await till.transfer("王小明", "李娜", 100, payee_city="lanzhou")
    posted, received = await till.collect()
    assert (posted.kind, posted.user_id, posted.channel) == ("payment_posted", till.ids["王小明"], "sms")
    assert posted.facts["receipt_no"] == order.receipt_no
    assert received.channel == "doors"
    assert (received.kind, received.user_id, received.to) == ("money_received", till.ids["李娜"], "13800000002")
    assert (received.facts["payer_name_masked"], received.facts["amount"], received.facts["city"]) == ("*小明", 100, "lanzhou")
    assert "code" not in received.facts


async def test_a_claim_is_a_lease(till) -> None:
    """Claimed, it comes to nobody else for a minute; then, unless it was sent, it comes back with the same code."""
    await till.propose("王小明", "李娜", 100)
    first = await till.wallet.claim_notices()
    assert await till.wallet.claim_notices() == ()
    till.clock.advance(seconds=61)
    assert await till.wallet.claim_notices() == first
    await till.wallet.notice_sent(first[0].id)
    till.clock.advance(seconds=61)
    assert await till.wallet.claim_notices() == ()


async def test_many_claimers_share_the_work(till) -> None:
    """Each notice goes to one of them."""
    for _ in range(10):
        await till.propose("王小明", "李娜", 100)
    claimed = await asyncio.gather(*(till.wallet.claim_notices(3) for _ in range(6)))
    ids = [notice.id for notices in claimed for notice in notices]
    assert (len(ids), len(set(ids))) == (10, 10)


async def test_a_failure_comes_back_when_asked_to(till) -> None:
    """At the chosen time, not before; after ten attempts no more."""
    order = await till.transfer("王小明", "李娜", 100)
    notice = (await till.wallet.claim_notices())[0]
    assert notice.facts["order_id"] == order.id
    await till.wallet.notice_failed(notice.id, till.clock.now + timedelta(seconds=10))
    assert await till.wallet.claim_notices() == ()
    till.clock.advance(seconds=10)
    assert [again.id for again in await till.wallet.claim_notices()] == [notice.id]
    for _ in range(8):
        await till.wallet.notice_failed(notice.id, till.clock.now)
        assert notice.id in [again.id for again in await till.wallet.claim_notices()]
    await till.wallet.notice_failed(notice.id, till.clock.now)
    assert notice.id not in [again.id for again in await till.wallet.claim_notices()]


async def test_late_codes_are_void(till) -> None:
    """No code is sent for an order that was cancelled, replaced by a resend, or has expired; nor for a dead login."""
    actor = till.ids["王小明"]
    cancelled = await till.propose("王小明", "李娜", 1)
    await till.wallet.cancel(cancelled.id, actor=actor, key=till.key())
    resent = await till.propose("王小明", "李娜", 2)
    await till.wallet.resend_code(resent.id, actor=actor, key=till.key())
    notices = await till.wallet.claim_notices()
    assert [notice.facts["order_id"] for notice in notices] == [resent.id]
    await till.propose("王小明", "李娜", 3)
    await till.wallet.start_login("13800000001", key=till.key())
    till.clock.advance(minutes=5)
    assert await till.wallet.claim_notices() == ()


async def test_waiting_ends_with_a_notice(till) -> None:
    """Who waits is woken by the next notice of this process, and by the end of the wait."""
    await till.wallet.wait_for_notices(0.01)
    waiting = asyncio.create_task(till.wallet.wait_for_notices(60))
    await asyncio.sleep(0)
    await till.propose("王小明", "李娜", 100)
    await asyncio.wait_for(waiting, 5)
