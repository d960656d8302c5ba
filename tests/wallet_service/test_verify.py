"""verify() finds every kind of tampering that the database's guards were taken away for."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import select, text, update

from wallet_service import Wallet
from wallet_service.chain import CONTENT, FROM_ENTRIES, START, link_hash
from wallet_service.schema import chain_head, entries, links

DATABASES = ("sqlite", "postgresql")

GUARDS = ("entries_no_update", "entries_no_delete", "links_no_update", "links_no_delete", "orders_guard", "orders_no_delete")


async def _without_guards(till, *statements: str) -> None:
    """Run statements as the owner of the database can: with no trigger, key or constraint in the way."""
    if till.wallet.database.is_sqlite:
        with sqlite3.connect(till.path) as raw:
            raw.execute("PRAGMA ignore_check_constraints = ON")
            for guard in GUARDS:
                raw.execute(f"DROP TRIGGER IF EXISTS {guard}")
            for statement in statements:
                assert raw.execute(statement).rowcount != 0, statement
        raw.close()
        return
    async with till.wallet.database.write() as connection:
        await connection.execute(text("ALTER TABLE accounts DROP CONSTRAINT IF EXISTS ck_accounts_no_overdraft"))
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            portable = statement.replace("x'00'", "'\\x00'\\:\\:bytea")
            assert (await connection.execute(text(portable))).rowcount != 0, statement


async def _tampered(till, *statements: str) -> list[tuple[str, str]]:
    """Seal everything, then change the file as its owner could: without guards, keys or constraints; give what verify finds."""
    await till.wallet.seal()
    assert (await till.wallet.verify()).ok
    await _without_guards(till, *statements)
    report = await till.wallet.verify()
    assert not report.ok
    return [(fault.check, fault.where) for fault in report.faults]


async def test_a_sound_ledger_has_no_faults(till) -> None:
    """Everything is counted, and everything is in the chain."""
    await till.transfer("王小明", "李娜", 100)
    await till.wallet.seal()
    report = await till.wallet.verify()
    assert (report.faults, report.sealed) == ((), report.entries)
    assert report.entries > 250


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE accounts SET balance = balance + 1 WHERE id = 20", ("balance", "account 20")),
        ("UPDATE accounts SET balance = -5 WHERE id = 20", ("overdraft", "account 20")),
        ("UPDATE accounts SET held = balance + 1 WHERE id = 20", ("overdraft", "account 20")),
        ("UPDATE entries SET amount = amount + 1 WHERE id = 100", ("chain", "entry 100")),
        ("UPDATE entries SET kind = 'gift' WHERE id = 100", ("chain", "entry 100")),
        ("UPDATE entries SET at = at + 1 WHERE id = 100", ("chain", "entry 100")),
        ("UPDATE entries SET credit_balance = credit_balance + 1 WHERE id = 100", ("running_balance", "entry 100")),
        ("UPDATE entries SET debit_id = credit_id, credit_id = debit_id WHERE id = 100", ("order", "order 100")),
        ("DELETE FROM entries WHERE id = 100", ("chain", "link 100")),
        ("DELETE FROM links WHERE position = 100", ("chain", "link 100")),
        ("DELETE FROM links WHERE position > 100", ("chain", "head")),
        ("DELETE FROM chain_head", ("chain", "head")),
        ("UPDATE chain_head SET signature = x'00'", ("chain", "head")),
        ("UPDATE orders SET amount = amount + 1 WHERE id = 100", ("order", "order 100")),
        ("UPDATE orders SET status = 'refused', posted_at = NULL WHERE id = 100", ("order", "order 100")),
        ("UPDATE orders SET fee = 1 WHERE id = 100", ("order", "order 100")),
    ],
)
async def test_one_change_is_found(till, statement, fault) -> None:
    """The fault names the row."""
    assert fault in await _tampered(till, statement)


async def test_money_made_from_nothing_is_found(till) -> None:
    """An amount raised everywhere it stands, in order, entry and both balances, still breaks the chain."""
    await till.transfer("王小明", "李娜", 500)
    faults = await _tampered(
        till,
        "UPDATE entries SET amount = amount + 100, debit_balance = debit_balance - 100, credit_balance = credit_balance + 100"
        " WHERE id = (SELECT MAX(id) FROM entries)",
        "UPDATE orders SET amount = amount + 100 WHERE id = (SELECT MAX(order_id) FROM entries)",
        "UPDATE accounts SET balance = balance - 100 WHERE id = (SELECT debit_id FROM entries ORDER BY id DESC LIMIT 1)",
        "UPDATE accounts SET balance = balance + 100 WHERE id = (SELECT credit_id FROM entries ORDER BY id DESC LIMIT 1)",
    )
    assert {check for check, _ in faults} == {"chain", "confirmation", "spending"}


async def test_a_rewritten_chain_lacks_the_signature(till) -> None:
    """Who rewrites history and all hashes after it cannot sign the new head."""
    await till.transfer("王小明", "李娜", 100)
    await till.wallet.seal()
    await _without_guards(till, "UPDATE orders SET note = 'x' WHERE id = 1", "UPDATE entries SET at = at + 1 WHERE id = 1")
    async with till.wallet.database.write() as connection:
        if not till.wallet.database.is_sqlite:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
        previous, history = START, select(*CONTENT).select_from(FROM_ENTRIES).order_by(entries.c.id)
        for position, entry in enumerate((await connection.execute(history)).all(), start=1):
            previous = link_hash(previous, position, entry)
            await connection.execute(update(links).where(links.c.position == position).values(hash=previous))
        await connection.execute(update(chain_head).values(hash=previous))
    report = await till.wallet.verify()
    assert [(fault.check, fault.where) for fault in report.faults] == [("chain", "head")]


async def test_a_cut_off_history_is_found(till) -> None:
    """Removing the newest transfer with its order, links and balances leaves a head that says more."""
    before = await till.sql("SELECT id, balance, day, day_spent, year, year_spent FROM accounts")
    await till.wallet.seal()
    await till.transfer("王小明", "李娜", 100)
    faults = await _tampered(
        till,
        "DELETE FROM links WHERE position = (SELECT MAX(position) FROM links)",
        "DELETE FROM outbox WHERE order_id = (SELECT MAX(id) FROM orders)",
        "DELETE FROM entries WHERE id = (SELECT MAX(id) FROM entries)",
        "DELETE FROM orders WHERE id = (SELECT MAX(id) FROM orders)",
        *(
            f"UPDATE accounts SET balance = {balance}, day = {day}, day_spent = {spent}, year = {year}, year_spent = {in_year}"
            f" WHERE id = {account}"
            for account, balance, day, spent, year, in_year in before
        ),
    )
    assert faults == [("chain", "head")]


async def test_an_entry_slipped_in_is_found(till) -> None:
    """An order and entry made by raw SQL move no balance that was kept: the fold tells."""
    faults = await _tampered(
        till,
        "INSERT INTO entries (order_id, kind, debit_id, credit_id, amount, debit_balance, credit_balance, at)"
        " SELECT order_id, 'fee', debit_id, credit_id, 1, 0, 0, at FROM entries WHERE id = 50",
    )
    assert ("order", "order 50") in faults


async def test_another_secret_does_not_verify(till) -> None:
    """The chain is signed by the key outside the database."""
    await till.wallet.seal()
    async with Wallet.open(till.url, secret="quite another secret", clock=till.clock) as other:
        report = await other.verify()
    assert [(fault.check, fault.where) for fault in report.faults] == [("chain", "head")]


async def test_what_is_posted_is_sealed_without_being_asked(till) -> None:
    """Closing the wallet seals the last postings; a process that died before is caught up at the next opening."""
    await till.transfer("王小明", "李娜", 100)
    async with till.reopened():
        pass
    report = await till.wallet.verify()
    assert report.sealed == report.entries
