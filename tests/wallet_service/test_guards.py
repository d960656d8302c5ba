"""What the database itself refuses, whatever the code above it does."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from wallet_service import Fen, Pay, PayBill, Withdraw

DATABASES = ("sqlite", "postgresql")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts SET balance = -1 WHERE kind = 'wallet'",
        "UPDATE accounts SET balance = balance - 80001 WHERE user_id = 2 AND city = 'xiamen'",
        "UPDATE accounts SET held = balance + 1 WHERE kind = 'wallet'",
        "UPDATE accounts SET held = -1 WHERE kind = 'wallet'",
        "UPDATE accounts SET balance = -1 WHERE kind IN ('merchant', 'biller', 'fees')",
        "UPDATE accounts SET user_id = NULL WHERE kind = 'wallet'",
        "UPDATE accounts SET kind = 'gift' WHERE kind = 'merchant'",
        "INSERT INTO accounts (kind, city, name, balance, held, day, day_spent, year, year_spent)"
        " VALUES ('fees', 'xiamen', '', 0, 0, 0, 0, 0, 0)",
        "UPDATE users SET level = 5",
        "UPDATE users SET status = 'rich'",
    ],
)
async def test_accounts_and_people_keep_their_rules(till, statement) -> None:
    """No overdraft, no second fee account, no unknown kind, level or status."""
    with pytest.raises(IntegrityError):
        await till.sql(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET amount = amount + 1 WHERE id = 1",
        "DELETE FROM entries WHERE id = 1",
        "UPDATE links SET position = -position WHERE position = 1",
        "DELETE FROM links WHERE position = 1",
        "DELETE FROM orders WHERE id = 1",
    ],
)
async def test_what_is_written_stays(till, statement) -> None:
    """Entries, links and orders are neither changed nor removed."""
    with pytest.raises(IntegrityError):
        await till.sql(statement)


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
@pytest.mark.parametrize("table", ["entries", "links", "decisions", "reveals", "account_events", "orders", "chain_head"])
async def test_nothing_that_is_kept_is_truncated(till, table) -> None:
    """PostgreSQL's way to empty a table past its rows' triggers is refused too."""
    with pytest.raises(IntegrityError):
        await till.sql(f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
async def test_no_entry_is_replaced(till) -> None:
    """SQLite's way to delete by inserting is caught by the same guard."""
    with pytest.raises(IntegrityError):
        await till.sql(
            "INSERT OR REPLACE INTO entries SELECT id, order_id, kind, debit_id, credit_id, amount + 1, debit_balance,"
            " credit_balance, at FROM entries WHERE id = 1"
        )


@pytest.mark.parametrize(
    "values",
    [
        "1, 'transfer', 5, 5, 1",
        "1, 'extra', 5, 6, 0",
        "1, 'extra', 5, 6, -1",
        "1, 'top_up', 5, 6, 1",
        "999999, 'transfer', 5, 6, 1",
    ],
)
async def test_an_entry_is_always_balanced_and_posted_once(till, values) -> None:
    """Two different accounts, a positive amount, an order that exists and has no such part yet."""
    with pytest.raises(IntegrityError):
        await till.sql(
            "INSERT INTO entries (order_id, kind, debit_id, credit_id, amount, debit_balance, credit_balance, at)"
            f" VALUES ({values}, 0, 0, 0)"
        )


@pytest.mark.parametrize(
    "column", ["amount = 1", "fee = 1", "payee_id = 3", "payer_id = 3", "actor_id = 3", "note = 'x'", "kind = 'payment'"]
)
async def test_a_proposed_order_cannot_change(till, column) -> None:
    """What was confirmed is what is posted."""
    order = await till.propose("王小明", "李娜", 100)
    with pytest.raises(IntegrityError):
        await till.sql(f"UPDATE orders SET {column} WHERE id = ?", order.id)


STATES = ("proposed", "authorised", "posted", "voided", "expired", "cancelled", "refused")
LEGAL = {
    *(("proposed", then) for then in ("authorised", "posted", "expired", "cancelled", "refused")),
    *(("authorised", then) for then in ("posted", "voided", "expired")),
}
ROUTES = {"proposed": [], "posted": ["authorised", "posted"], "voided": ["authorised", "voided"]}
POSTED = ", posted_at = 1, posted_amount = amount"


@pytest.mark.parametrize("state", STATES)
async def test_orders_move_only_forward(till, state) -> None:
    """From each state, exactly the legal ones can be reached."""
    for then in STATES:
        order = await till.propose("王小明", "李娜", 100)
        for step in ROUTES.get(state, [state]):
            posted = POSTED if step == "posted" else ""
            await till.sql(f"UPDATE orders SET status = '{step}'{posted} WHERE id = ?", order.id)
        columns = POSTED if then == "posted" else ", posted_at = NULL, posted_amount = NULL"
        attempt = f"UPDATE orders SET status = '{then}'{columns} WHERE id = ?"
        if then == state or (state, then) in LEGAL:
            await till.sql(attempt, order.id)
        else:
            with pytest.raises(IntegrityError):
                await till.sql(attempt, order.id)


@pytest.mark.parametrize(
    "change",
    [
        *("amount = amount - 1", "fee = 1", "payee_id = 3", "method = 'code'", "card_id = NULL", "delay = 1", "outside = ''"),
        *("kind = 'top_up'", "nonce = ?", "outside_no = 'x'", "outside_no = NULL"),
    ],
)
async def test_what_was_confirmed_stays_while_it_waits(till, change) -> None:
    """An order that a channel outside has: neither what it is nor its number there can be changed."""
    order = await till.wish(Withdraw(till.ids["王小明"], await till.card(), Fen(100), "qingdao"))
    await till.sql("UPDATE orders SET status = 'authorised' WHERE id = ?", order.id)
    with pytest.raises(IntegrityError):
        await till.sql(f"UPDATE orders SET {change} WHERE id = ?", *([b"x"] if "?" in change else []), order.id)


@pytest.mark.parametrize(
    "change",
    [
        *("posted_amount = 1", "posted_at = posted_at + 1", "posted_at = NULL", "receipt_no = 'x'", "authorised_at = NULL"),
        *("spent_day = 0", "delay = 1", "code_hash = NULL", "refunded = 299", "refunded = 1001", "refunds_id = 1"),
    ],
)
async def test_what_was_posted_stays(till, change) -> None:
    """A payment that was given back in part: nothing of it changes any more, but that more is given back."""
    order = await till.confirmed(Pay(till.ids["王小明"], (await till.merchant())[1], Fen(1_000)))
    await till.wallet.refund(order.id, Fen(300), key=till.key())
    with pytest.raises(IntegrityError):
        await till.sql(f"UPDATE orders SET {change} WHERE id = ?", order.id)
    await till.sql("UPDATE orders SET refunded = 1000 WHERE id = ?", order.id)


async def test_a_bill_is_paid_by_one_order(till) -> None:
    """Whatever the code above it does, a second order for the same bill can be neither held nor posted."""
    command = PayBill(till.ids["王小明"], (await till.bill())[0])
    first, second = await till.wish(command), await till.wish(command)
    await till.sql("UPDATE orders SET status = 'authorised' WHERE id = ?", first.id)
    for status in ("authorised'", f"posted'{POSTED}"):
        with pytest.raises(IntegrityError):
            await till.sql(f"UPDATE orders SET status = '{status} WHERE id = ?", second.id)
    await till.sql("UPDATE orders SET status = 'voided' WHERE id = ?", first.id)
    await till.sql("UPDATE orders SET status = 'authorised' WHERE id = ?", second.id)
