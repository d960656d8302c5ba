"""verify() finds every kind of tampering that the database's guards were taken away for."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from tests.wallet_service.conftest import SECRET
from wallet_service import ConfigurationError, Fen, LedgerFault, Pay, TopUp, Wallet, Withdraw, chain
from wallet_service.bulk import Movement, post_movements
from wallet_service.chain import CONTENT, FROM_ENTRIES, START, link_hash
from wallet_service.posting import receipt_no
from wallet_service.schema import chain_head, entries, links

DATABASES = ("sqlite", "postgresql")

GUARDS = (
    "entries_no_update",
    "entries_no_delete",
    "links_no_update",
    "links_no_delete",
    "orders_guard",
    "orders_no_delete",
    "decisions_no_delete",
)


def _on_file(path: Path, statements: tuple[str, ...]) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA ignore_check_constraints = ON")
        for guard in GUARDS:
            raw.execute(f"DROP TRIGGER IF EXISTS {guard}")
        for statement in statements:
            assert raw.execute(statement).rowcount != 0, statement
    raw.close()


async def _without_guards(till, *statements: str) -> None:
    """Run statements as the owner of the database can: with no trigger, key or constraint in the way."""
    if till.wallet.database.is_sqlite:
        await asyncio.to_thread(_on_file, till.path, statements)  # this loop's own sealer may be writing
        return
    async with till.wallet.database.write() as connection:
        await connection.execute(text("LOCK TABLE chain_head"))  # first, as the sealer does, so that none waits in a circle
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
        ("UPDATE orders SET amount = amount + 1 WHERE id = 100", ("confirmation", "order 100")),
        ("UPDATE orders SET posted_amount = posted_amount - 1 WHERE id = 100", ("order", "order 100")),
        ("UPDATE accounts SET held = held + 1 WHERE id = 20", ("held", "account 20")),
        ("UPDATE orders SET status = 'refused', posted_at = NULL, posted_amount = NULL WHERE id = 100", ("order", "order 100")),
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
        "UPDATE orders SET amount = amount + 100, posted_amount = amount + 100 WHERE id = (SELECT MAX(order_id) FROM entries)",
        "UPDATE accounts SET balance = balance - 100 WHERE id = (SELECT debit_id FROM entries ORDER BY id DESC LIMIT 1)",
        "UPDATE accounts SET balance = balance + 100 WHERE id = (SELECT credit_id FROM entries ORDER BY id DESC LIMIT 1)",
    )
    assert {check for check, _ in faults} == {"chain", "confirmation", "spending"}


async def test_a_rewritten_chain_lacks_the_signature(till) -> None:
    """Who rewrites history and all hashes after it cannot sign the new head, and whoever saw the old one knows."""
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
    newest = ("rolled_back", f"link {report.sealed}")
    assert [(fault.check, fault.where) for fault in report.faults] == [("chain", "head"), newest]


async def test_a_cut_off_history_is_found(till) -> None:
    """Removing the newest transfer with its order, links and balances leaves a head that says more."""
    before = await till.sql("SELECT id, balance, day, day_spent, year, year_spent FROM accounts")
    await till.wallet.seal()
    cut = await till.transfer("王小明", "李娜", 100)
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
    ((sealed,),) = await till.sql("SELECT MAX(position) FROM links")
    assert faults == [("order", f"order {cut.id}"), ("chain", "head"), ("rolled_back", f"link {sealed + 1}")]


@pytest.mark.parametrize("order_too", [False, True])
async def test_what_is_not_sealed_yet_is_not_cut_off_unseen(till, order_too) -> None:
    """With the entry and the balances gone, the posted order tells; with the order gone too, the answer that was given for it."""
    await till.wallet._sealer.stop()  # as if it hung: nothing is sealed from here on
    before = await till.sql("SELECT id, balance, day, day_spent, year, year_spent FROM accounts")
    cut = await till.transfer("王小明", "李娜", 100)
    named = ("outbox", "decisions") if await till.sql("SELECT 1 FROM decisions WHERE order_id = ?", cut.id) else ("outbox",)
    orders = [*(f"DELETE FROM {table} WHERE order_id = {cut.id}" for table in named), f"DELETE FROM orders WHERE id = {cut.id}"]
    await _without_guards(
        till,
        f"DELETE FROM entries WHERE order_id = {cut.id}",
        *(orders if order_too else ()),
        *(
            f"UPDATE accounts SET balance = {balance}, day = {day}, day_spent = {spent}, year = {year}, year_spent = {in_year}"
            f" WHERE id = {account}"
            for account, balance, day, spent, year, in_year in before
        ),
    )
    faults = [(fault.check, fault.where) for fault in (await till.wallet.verify()).faults]
    assert ("order", f"order {cut.id}") in faults
    assert ("sum", "accounts") not in faults


async def test_an_entry_slipped_in_is_found(till) -> None:
    """An order and entry made by raw SQL move no balance that was kept: the fold tells."""
    faults = await _tampered(
        till,
        "INSERT INTO entries (order_id, kind, debit_id, credit_id, amount, debit_balance, credit_balance, at)"
        " SELECT order_id, 'fee', debit_id, credit_id, 1, 0, 0, at FROM entries WHERE id = 50",
    )
    assert ("order", "order 50") in faults


async def test_what_is_posted_is_sealed_without_being_asked(till) -> None:
    """Closing the wallet seals the last postings; a process that died before is caught up at the next opening."""
    await till.transfer("王小明", "李娜", 100)
    async with till.reopened():
        pass
    report = await till.wallet.verify()
    assert report.sealed == report.entries


async def _forge(till) -> None:
    """Rewrite the newest entry and all of the chain's unkeyed hashes, as the owner of the database can; the signature stays."""
    await _without_guards(till, "UPDATE entries SET at = at + 1 WHERE id = (SELECT MAX(id) FROM entries)")
    async with till.wallet.database.write() as connection:
        if not till.wallet.database.is_sqlite:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
        previous, history = START, select(*CONTENT).select_from(FROM_ENTRIES).order_by(entries.c.id)
        for position, entry in enumerate((await connection.execute(history)).all(), start=1):
            previous = link_hash(previous, position, entry)
            await connection.execute(update(links).where(links.c.position == position).values(hash=previous))
        await connection.execute(update(chain_head).values(hash=previous))


async def test_a_forged_head_is_never_signed(till, caplog) -> None:
    """The next posting is not sealed, the alarm is loud, and the fault stays for verify to find, over a restart too."""
    await till.wallet.seal()
    await _forge(till)
    await till.transfer("王小明", "李娜", 100)
    with pytest.raises(LedgerFault, match="not signed"):
        await till.wallet.seal()
    async with till.reopened() as other:
        for _ in range(100):
            await asyncio.sleep(0.02)
            if other.chain_fault:
                break
        assert "not signed" in other.chain_fault
        report = await other.verify()
    assert ("chain", "head") in [(fault.check, fault.where) for fault in report.faults]
    assert report.sealed < report.entries
    assert "CRITICAL" in caplog.text


@pytest.mark.parametrize("missing", [("links", "chain_head"), ("chain_head",), ("links",)])
async def test_a_chain_that_was_taken_away_is_not_begun_anew(till, missing) -> None:
    """Without links or head there is no seal, now and after a restart."""
    await _tampered(till, *(f"DELETE FROM {table}" for table in missing))
    async with till.reopened() as other:
        with pytest.raises(LedgerFault):
            await other.seal()
    assert not (await till.wallet.verify()).ok


async def test_an_older_head_is_not_added_to(till) -> None:
    """Head and links put back to an earlier, rightly signed state are noticed by a process that has seen the later one."""
    await till.wallet.seal()
    ((position, watermark, digest, signature),) = await till.sql("SELECT position, watermark, hash, signature FROM chain_head")
    for _ in range(2):
        await till.transfer("王小明", "李娜", 100)
        await till.wallet.seal()
    await _without_guards(till, f"DELETE FROM links WHERE position > {position}")
    old = {"position": position, "watermark": watermark, "hash": digest, "signature": signature}
    async with till.wallet.database.write() as connection:
        await connection.execute(update(chain_head).values(**old))
    with pytest.raises(LedgerFault, match="gone back"):
        await till.wallet.seal()


async def test_another_key_signs_nothing(till) -> None:
    """A process with the wrong secret does not open the till; who only checks seals nothing."""
    await till.wallet._sealer.stop()
    head = await till.sql("SELECT * FROM chain_head")
    context = till.wallet.context
    gift = context.system["xiamen", "promotions"], context.system["xiamen", "fees"]
    async with context.database.write() as connection:
        await post_movements(context, connection, [Movement(context.now(), till.ids["王小明"], "top_up", *gift, 5, "")])
    with pytest.raises(ConfigurationError, match="secret key"):
        async with Wallet.open(till.url, secret="quite another secret", clock=till.clock):
            pass
    async with Wallet.open(till.url, secret=SECRET, clock=till.clock, working=False) as other:
        assert (await other.verify()).ok
    assert await till.sql("SELECT * FROM chain_head") == head


async def test_the_sealer_survives_any_error(till, monkeypatch, caplog) -> None:
    """A fault of the pool or of anything else puts sealing off, and is told; closing goes on."""
    real, seen = chain.seal, asyncio.Event()

    async def failing(context) -> int:
        seen.set()
        raise TimeoutError("pool")

    monkeypatch.setattr(chain, "seal", failing)
    await till.transfer("王小明", "李娜", 100)
    await asyncio.wait_for(seen.wait(), 5)
    await asyncio.sleep(0)
    monkeypatch.setattr(chain, "seal", real)
    for _ in range(200):
        await asyncio.sleep(0.02)
        report = await till.wallet.verify()
        if report.sealed == report.entries:
            break
    assert report.sealed == report.entries
    assert "sealing was put off: TimeoutError" in caplog.text


@pytest.mark.parametrize(
    ("statements", "check"),
    [
        (["UPDATE accounts SET day_spent = 0, year_spent = 0 WHERE kind = 'wallet'"], "spending"),
        (["UPDATE orders SET note = 'x' WHERE id = 100"], "chain"),
        (["UPDATE orders SET actor_id = 3 WHERE id = 100"], "chain"),
        (["UPDATE orders SET receipt_no = 'x' WHERE id = 100"], "receipt"),
        (["UPDATE orders SET code_hash = NULL WHERE id = 100"], "confirmation"),
        (
            [
                "UPDATE accounts SET user_id = user_id + 1000 WHERE city = 'xiamen' AND user_id IN (1, 2)",
                "UPDATE accounts SET user_id = 1003 - user_id % 1000 - 1000 WHERE city = 'xiamen' AND user_id IN (1001, 1002)",
            ],
            "chain",
        ),
    ],
)
async def test_who_owns_and_who_asked_is_covered(till, statements, check) -> None:
    """Owners of wallets swapped, another note, actor or receipt, counters set back: each is found."""
    assert check in [found for found, _ in await _tampered(till, *statements)]


async def test_an_order_posted_by_plain_sql_is_found(till) -> None:
    """An order rightly proposed, then posted with its entry by SQL, lacks the proof of its code, though it is sealed."""
    order = await till.propose("王小明", "李娜", 100)
    now, number = int(till.clock.now.timestamp() * 1000), receipt_no(order.id, till.clock.now)
    await _without_guards(
        till,
        f"UPDATE orders SET status = 'posted', posted_at = {now}, posted_amount = amount, receipt_no = '{number}'"
        f" WHERE id = {order.id}",
        "INSERT INTO entries (order_id, kind, debit_id, credit_id, amount, debit_balance, credit_balance, at) SELECT o.id,"
        " o.kind, o.payer_id, o.payee_id, o.amount, p.balance - o.amount, q.balance + o.amount, o.posted_at FROM orders o"
        f" JOIN accounts p ON p.id = o.payer_id JOIN accounts q ON q.id = o.payee_id WHERE o.id = {order.id}",
        f"UPDATE accounts SET balance = balance - 100 WHERE id = (SELECT payer_id FROM orders WHERE id = {order.id})",
        f"UPDATE accounts SET balance = balance + 100 WHERE id = (SELECT payee_id FROM orders WHERE id = {order.id})",
    )
    await till.wallet.seal()
    faults = [(fault.check, fault.where) for fault in (await till.wallet.verify()).faults]
    assert ("confirmation", f"order {order.id}") in faults


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE accounts SET held = held - 1 WHERE id = :payer", {"held"}),
        ("UPDATE accounts SET held = 0 WHERE id = :payer", {"held"}),
        ("UPDATE accounts SET incoming = incoming + 1 WHERE id = :payer", {"incoming"}),
        ("UPDATE accounts SET static_spent = 0 WHERE id = :payer", {"spending"}),
        ("UPDATE accounts SET quota_used = quota_used - 1 WHERE id = :payer", {"spending"}),
        ("UPDATE accounts SET day_spent = day_spent - 1 WHERE id = :payer", {"spending"}),
        ("UPDATE orders SET status = 'voided' WHERE id = :held", {"held", "spending"}),
        ("UPDATE orders SET status = 'voided' WHERE id = :expected", {"incoming", "outside", "held"}),
        ("UPDATE orders SET spent_day = 0 WHERE id = :held", {"spending"}),
        ("UPDATE orders SET amount = amount + 1 WHERE id = :held", {"held", "spending"}),
        ("UPDATE orders SET refunded = refunded - 1 WHERE id = :paid", {"refunded"}),
        ("UPDATE orders SET refunds_id = 1 WHERE id = :refund", {"refunded", "confirmation"}),
        ("UPDATE orders SET posted_amount = posted_amount - 1 WHERE id = :part", {"order", "spending", "confirmation"}),
        ("UPDATE orders SET outside_state = 'unknown' WHERE id = :withdrawn", {"outside"}),
        ("UPDATE orders SET fee = 0 WHERE id = :withdrawn", {"order", "chain", "confirmation"}),
        ("UPDATE orders SET quota_used = 0 WHERE id = :withdrawn", {"spending"}),
    ],
)
async def test_holds_and_counters_are_held_against_the_orders(till, statement, found) -> None:
    """Whatever is held, expected, counted, given back or said by a channel outside: a fen changed by hand is found."""
    user, card, number = till.ids["王小明"], await till.card(), (await till.merchant())[1]
    withdrawn = await till.confirmed(Withdraw(user, card, Fen(120_000)))
    await till.wallet.run_due()
    till.bank.answers.append("unknown")
    orders = {
        "withdrawn": withdrawn.id,
        "held": (await till.transfer("王小明", "李娜", 1_000, delay=86_400)).id,
        "part": (await till.transfer("王小明", "李娜", 2_000, delay=86_400)).id,
        "paid": (await till.confirmed(Pay(user, number, Fen(3_000), static=True))).id,
        "expected": (await till.confirmed(TopUp(user, card, Fen(4_000)))).id,
    }
    await till.wallet.run_due()
    await till.wallet.capture(orders["part"], Fen(500), key=till.key())
    orders["refund"] = (await till.wallet.refund(orders["paid"], Fen(700), key=till.key())).order_id
    orders["payer"] = await till.account("王小明")
    for name, number in orders.items():
        statement = statement.replace(f":{name}", str(number))
    assert {check for check, _ in await _tampered(till, statement)} == found


async def test_a_fee_that_went_elsewhere_is_found(till) -> None:
    """The books balance and the amount is right, but somebody's wallet was credited with it instead of the house."""
    order = await till.confirmed(TopUp(till.ids["王小明"], await till.card("credit"), Fen(100_000)))
    await till.wallet.run_due()
    fees, wallet = await till.account("fees"), await till.account("李娜")
    has, _ = await till.standing(wallet)
    its = f"order_id = {order.id} AND kind = 'fee'"
    found = await _tampered(
        till,
        f"UPDATE entries SET credit_id = {wallet}, credit_balance = {has + order.fee} WHERE {its}",
        f"UPDATE accounts SET balance = balance - {order.fee} WHERE id = {fees}",
        f"UPDATE accounts SET balance = balance + {order.fee} WHERE id = {wallet}",
    )
    assert ("order", f"order {order.id}") in found
