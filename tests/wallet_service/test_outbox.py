"""Notices: written with what they tell of, claimed once, void when they are late."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from wallet_service import WAYS, Notice, WalletError
from wallet_service.outbox import GIVE_UP_AFTER
from wallet_service.schema import users
from wallet_service.ways import ways_of

DATABASES = ("sqlite", "postgresql")
WANG_MAIL = "wang@example.com"


def shape(notices: Sequence[Notice]) -> list[tuple[str, str, str]]:
    """Give kind, way and address of each."""
    return sorted((notice.kind, notice.channel, notice.to) for notice in notices)


async def set_email(till, name: str, address: str) -> None:
    """Give somebody a mailbox."""
    await till.write(update(users).where(users.c.id == till.ids[name]).values(email=address))


async def log_in(till, phone: str) -> None:
    """Log in with the code that arrives; the notice of it waits."""
    challenge = await till.wallet.start_login(phone, key=till.key())
    await till.wallet.finish_login(challenge.id, await till.code(), key=till.key())


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
    assert (received.kind, received.user_id, received.to) == ("money_received", till.ids["李娜"], "13800000002")
    assert (received.facts["payer_name_masked"], received.facts["amount"], received.facts["city"]) == ("*小明", 100, "lanzhou")
    assert "code" not in received.facts


async def test_a_claim_is_a_lease(till) -> None:
    """Claimed, it comes to nobody else for a minute; then, unless it was sent, it comes back with the same code."""
    await till.propose("王小明", "李娜", 100)
    first = await till.wallet.claim_notices()
    assert await till.wallet.claim_notices() == ()
    till.clock.advance(seconds=61)
    assert await till.wallet.claim_notices() == (replace(first[0], attempts=2),)
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
    """At the chosen time, not before; after its last attempt no more, and whoever reports that one is told so."""
    await till.transfer("王小明", "李娜", 100)
    notice = (await till.wallet.claim_notices())[0]
    assert await till.wallet.notice_failed(notice.id, till.clock.now + timedelta(seconds=10))
    assert await till.wallet.claim_notices() == ()
    till.clock.advance(seconds=10)
    assert [again.id for again in await till.wallet.claim_notices()] == [notice.id]
    for attempts in range(3, GIVE_UP_AFTER + 1):
        assert await till.wallet.notice_failed(notice.id, till.clock.now)
        assert [again.attempts for again in await till.wallet.claim_notices()] == [attempts]
    assert not await till.wallet.notice_failed(notice.id, till.clock.now)
    assert await till.wallet.claim_notices() == ()


async def test_what_is_given_up_never_comes_again(till) -> None:
    """A notice without a time to come again is void at once, and its other ways go on."""
    await till.transfer("王小明", "李娜", 100)
    first, *others = await till.wallet.claim_notices()
    assert not await till.wallet.notice_failed(first.id, None)
    till.clock.advance(seconds=61)
    assert {notice.id for notice in await till.wallet.claim_notices()} == {notice.id for notice in others}


async def test_each_way_is_on_its_own(till) -> None:
    """What went by SMS is not repeated when the mail failed; each way counts its own attempts and has its own time."""
    await set_email(till, "王小明", WANG_MAIL)
    await log_in(till, "13800000001")
    (text,) = await till.wallet.claim_notices(way="sms")
    (mail,) = await till.wallet.claim_notices(way="mail")
    assert shape([text, mail]) == [("logged_in", "mail", WANG_MAIL), ("logged_in", "sms", "13800000001")]
    assert text.facts == mail.facts
    await till.wallet.notice_sent(text.id)
    assert await till.wallet.notice_failed(mail.id, till.clock.now)
    assert await till.wallet.claim_notices() == (replace(mail, attempts=2),)
    assert WANG_MAIL not in repr(mail)


async def test_a_person_without_a_mailbox_gets_no_mail(till) -> None:
    """Nothing waits for an address that is not there, nor for one that was taken away meanwhile."""
    await log_in(till, "13800000001")
    assert shape(await till.wallet.claim_notices()) == [("logged_in", "sms", "13800000001")]
    await set_email(till, "李娜", "li@example.com")
    await log_in(till, "13800000002")
    await till.wallet.claim_notices(way="sms")
    await till.sql("UPDATE users SET email = NULL")
    assert await till.wallet.claim_notices(way="mail") == ()
    assert await till.sql("SELECT status FROM outbox WHERE way = 'mail'") == [("void",)]


async def test_a_lock_is_told_everywhere(till) -> None:
    """Phone, mailbox and chats, each once."""
    await set_email(till, "王小明", WANG_MAIL)
    order = await till.propose("王小明", "李娜", 100)
    wrong = f"{(int(await till.code(order)) + 1) % 10**6:06d}"
    await till.sql("UPDATE users SET wrong_codes = 9")
    with pytest.raises(WalletError):
        await till.authorize("王小明", order, wrong)
    assert shape(await till.wallet.claim_notices()) == [
        ("payments_locked", "doors", ""),
        ("payments_locked", "mail", WANG_MAIL),
        ("payments_locked", "sms", "13800000001"),
    ]


@pytest.mark.parametrize("lanes", [WAYS, WAYS[::-1]])
async def test_lanes_that_look_at_once_lose_nothing(till, lanes) -> None:
    """Whichever looks first, and however many at the same moment, each notice goes once by each of its ways."""
    await set_email(till, "王小明", WANG_MAIL)
    order = await till.propose("王小明", "李娜", 100)
    code = await till.code(order)
    await log_in(till, "13800000001")
    await till.authorize("王小明", order, code)
    claims = await asyncio.gather(*(till.wallet.claim_notices(way=lane) for lane in lanes * 3))
    claims += await asyncio.gather(*(till.wallet.claim_notices(way=lane) for lane in lanes))
    assert shape([notice for claimed in claims for notice in claimed]) == [
        ("logged_in", "mail", WANG_MAIL),
        ("logged_in", "sms", "13800000001"),
        ("money_received", "doors", ""),
        ("money_received", "sms", "13800000002"),
        ("payment_posted", "held", ""),
        ("payment_posted", "sms", "13800000001"),
    ]


def test_the_ways_are_known_and_a_code_has_one() -> None:
    """A code goes by SMS alone, one of a kind to come too; what changes who can get in goes everywhere."""
    for kind in ("login_code", "payment_code", "a_kind_to_come_code"):
        assert ways_of(kind) == ("sms",)
    for kind in ("credential_changed", "payments_locked", "wallet_frozen", "closing_started", "phone_changed"):
        assert {"sms", "mail", "doors"} <= set(ways_of(kind)) <= set(WAYS)
    assert set(ways_of("logged_in") + ways_of("device_added")) == {"sms", "mail", "doors"}  # a log-in at a new door is both
    assert ways_of("email_code") == ("mail",)
    assert ways_of("a_kind_to_come") == ("sms", "doors")


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
