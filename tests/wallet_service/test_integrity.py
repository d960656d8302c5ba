"""Sealed values that do not open, or that were put into another row by SQL: found, told by id, and in nobody else's way."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from wallet_service import Fen, Withdraw
from wallet_service.schema import users

DATABASES = ("sqlite", "postgresql")
WORKING = False
SWAP = "UPDATE users SET phone = (SELECT phone FROM users WHERE id = 2) WHERE id = 1"
ALL_OF_THEM = [
    (SWAP, "users 1"),
    ("UPDATE users SET id_number = phone WHERE id = 1", "users 1"),
    ("UPDATE users SET name = phone WHERE id = 2", "users 2"),
    ("UPDATE users SET email = name WHERE id = 3", "users 3"),
    ("UPDATE cards SET number = (SELECT number FROM cards WHERE id = 2) WHERE id = 1", "cards 1"),
    ("UPDATE bills SET customer_no = (SELECT customer_no FROM bills WHERE id = 4) WHERE id = 1", "bills 1"),
    (
        "UPDATE subscriptions SET customer_no = (SELECT customer_no FROM subscriptions WHERE id = 4) WHERE id = 1",
        "subscriptions 1",
    ),
]


@pytest.mark.parametrize(("statement", "where"), ALL_OF_THEM)
async def test_verify_finds_what_stands_in_the_wrong_row(till, statement, where) -> None:
    """Each sealed value is held against the blind index beside it, and opens; the row is named, and nothing that it says."""
    await till.sql(statement)
    faults = (await till.wallet.verify()).faults
    assert [(fault.check, fault.where) for fault in faults] == [("sealed", where)]
    assert "138" not in str(faults)


async def test_a_mailbox_that_was_never_proven_is_found(till) -> None:
    """Sealed rightly, but no code ever went there for this person; one that was proven is no fault."""
    proven = await till.wallet.start_email(1, "wang@example.com", key=till.key())
    (notice,) = [notice for notice in await till.collect_all() if notice.kind == "email_code"]
    await till.wallet.prove_change(1, proven.id, notice.facts["code"], key=till.key())
    await till.wallet.set_email(1, proven.id, key=till.key())
    assert (await till.wallet.verify()).ok
    await till.write(update(users).where(users.c.id == 2).values(email="wang@example.com"))
    assert [(fault.check, fault.where) for fault in (await till.wallet.verify()).faults] == [("sealed", "users 2")]


async def test_no_code_goes_to_a_phone_that_was_put_there(till, refused, caplog) -> None:
    """A code that waits is set aside, a new one is refused; the log has ids and no number. Put right, the waiting one goes."""
    ((phone,),) = await till.sql("SELECT phone FROM users WHERE id = 1")
    order = await till.propose("王小明", "李娜", 100)
    await till.sql(SWAP)
    assert await till.wallet.claim_notices() == ()
    assert "notice 1 is set aside" in caplog.text
    for wish in (
        lambda: till.propose("王小明", "李娜", 200),
        lambda: till.wallet.resend_code(order.id, actor=1, key=till.key()),
        lambda: till.wallet.start_change(1, "old_phone", key=till.key()),
    ):
        with refused("phone_mismatch"):
            await wish()
    assert "person 1" in caplog.text
    assert "1380000" not in caplog.text
    await till.sql("UPDATE users SET phone = ? WHERE id = 1", phone)
    till.clock.advance(seconds=61)
    (notice,) = await till.wallet.claim_notices()
    assert (notice.kind, notice.to, notice.attempts) == ("payment_code", "13800000001", 2)


async def test_no_money_goes_to_a_card_that_was_put_there(till) -> None:
    """The bank is not asked while the number is another card's; put right, it is asked, once."""
    ((number, card),) = await till.sql("SELECT number, id FROM cards WHERE user_id = 1 AND kind = 'debit'")
    order = await till.confirmed(Withdraw(1, card, Fen(10_000)))
    await till.sql("UPDATE cards SET number = (SELECT number FROM cards WHERE id <> ? LIMIT 1) WHERE id = ?", card, card)
    await till.wallet.run_due()
    assert (await till.wallet.order(order.id, actor=1)).outside_state == "unknown"
    assert till.bank.asked == []
    await till.sql("UPDATE cards SET number = ? WHERE id = ?", number, card)
    till.clock.advance(minutes=2)
    await till.wallet.run_due()
    assert (await till.wallet.order(order.id, actor=1)).status == "posted"
    assert len(till.bank.asked) == 1


async def test_what_does_not_open_keeps_no_notice_of_others_waiting(till, caplog) -> None:
    """Neither a name in a notice nor what a notice says itself: its id is logged, all others go out by all their ways."""
    await till.propose("王小明", "李娜", 100)
    await till.propose("王小明", "张三丰", 100)
    await till.wallet.freeze(3, key=till.key())
    await till.wallet.freeze(5, key=till.key())
    ((number,),) = await till.sql("SELECT id FROM outbox WHERE kind = 'wallet_frozen' AND user_id = 3")
    await till.sql("UPDATE users SET name = phone WHERE id = 2")
    await till.sql("UPDATE outbox SET facts = (SELECT phone FROM users WHERE id = 1) WHERE id = ?", number)
    claimed = await till.wallet.claim_notices()
    assert {(notice.kind, notice.user_id, notice.channel) for notice in claimed} == {
        ("payment_code", 1, "sms"),
        ("wallet_frozen", 5, "sms"),
        ("wallet_frozen", 5, "doors"),
    }
    assert f"notice {number} is set aside" in caplog.text
    assert "notice 1 is set aside" in caplog.text
    for notice in claimed:
        await till.wallet.notice_sent(notice.id)
    till.clock.advance(seconds=61)
    await till.wallet.freeze(4, by="agent", key=till.key())
    assert {notice.user_id for notice in await till.wallet.claim_notices()} == {4}
