"""The full check: every invariant of the ledger and the hash chain, on one snapshot."""

from __future__ import annotations

import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, Table, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import witness
from wallet_service.chain import CONTENT, FROM_ENTRIES, LATE_COMMITS, START, is_signed, is_untouched, link_hash
from wallet_service.codes import confirmation
from wallet_service.context import Context, Newest
from wallet_service.errors import LedgerFault
from wallet_service.integrity import INDEXED, UNREADABLE, agrees, tolerant
from wallet_service.posting import receipt_no
from wallet_service.schema import accounts, chain_head, challenges, entries, links, orders, replays, users
from wallet_service.vault import Sealed
from wallet_service.views import Fault, Report

MOST_FAULTS = 100  # a broken ledger is told by its first faults; a million lines tell no more
PAGE = 5_000
_ORDERS = select(*(column for column in orders.c if not isinstance(column.type, Sealed)))  # what is tampered with may not open
_OUTSIDE = {"posted": ("done",), "voided": ("refused",), "authorised": ("waiting", "unknown")}
_COUNTERS = {"day_spent": "day", "year_spent": "year", "static_spent": "day", "quota_used": "quota_period"}


async def verify(context: Context) -> Report:
    """Check everything; the report lists what is broken."""
    untold, witnessed = [], None
    try:
        witnessed = await witness.recall(context)
    except LedgerFault as fault:
        untold = [Fault("witness", "head", str(fault))]
    seen = replace(context.newest)  # before the snapshot: what is seen after it may be newer
    async with context.database.snapshot() as connection:
        head = (await connection.execute(select(chain_head))).one_or_none()
        faults = [
            *[fault async for fault in _balances(connection)],
            *[fault async for fault in _counters(connection)],
            *[fault async for fault in _orders(connection)],
            *[fault async for fault in _answered(connection)],
            *[fault async for fault in _chain(context, connection, head)],
            *untold,
            *[fault async for fault in _witnessed(connection, seen)],
            *[fault async for fault in _sealed(context, connection)],
        ]
        if head is not None and is_signed(context, head):  # with another's key every order would be called unconfirmed
            faults += [fault async for fault in _confirmations(context, connection)]
        counts = [await _count(connection, table) for table in (accounts, orders, entries, links)]
    return Report(counts[0], counts[1], counts[2], counts[3], tuple(faults[:MOST_FAULTS]), witnessed)


async def _count(connection: AsyncConnection, table: Table) -> int:
    return (await connection.execute(select(func.count()).select_from(table))).scalar_one()


async def _pages(connection: AsyncConnection, wanted: Any, cursor: Any) -> AsyncIterator[Row[Any]]:
    """Walk a large result in the order of an ascending column, a page at a time."""
    async for rows in _batches(connection, wanted, cursor):
        for row in rows:
            yield row


async def _batches(connection: AsyncConnection, wanted: Any, cursor: Any) -> AsyncIterator[Sequence[Row[Any]]]:
    last = 0
    while True:
        rows = (await connection.execute(wanted.where(cursor > last).order_by(cursor).limit(PAGE))).all()
        yield rows
        if len(rows) < PAGE:
            return
        last = getattr(rows[-1], cursor.key)


async def _balances(connection: AsyncConnection) -> AsyncIterator[Fault]:
    """A balance is the fold of its entries, each entry tells the balance after it, nobody is below zero, all add up to zero."""
    folded: dict[int, int] = {}
    async for entry in _pages(connection, select(entries), entries.c.id):
        for account, delta, told in (
            (entry.debit_id, -entry.amount, entry.debit_balance),
            (entry.credit_id, entry.amount, entry.credit_balance),
        ):
            folded[account] = folded.get(account, 0) + delta
            if folded[account] != told:
                yield Fault("running_balance", f"entry {entry.id}", f"account {account}: told {told}, is {folded[account]}")
                folded[account] = told
        if entry.amount <= 0:
            yield Fault("amount", f"entry {entry.id}", f"{entry.amount} fen")
    total = 0
    async for account in _pages(connection, select(accounts), accounts.c.id):
        total += account.balance
        expected = folded.get(account.id, 0)
        if account.balance != expected:
            yield Fault("balance", f"account {account.id}", f"kept {account.balance}, entries say {expected}")
        if account.kind not in ("clearing", "promotions") and not 0 <= account.held <= account.balance:
            yield Fault("overdraft", f"account {account.id}", f"balance {account.balance}, held {account.held}")
    if total != 0:
        yield Fault("sum", "accounts", f"all balances add up to {total} fen instead of 0")


async def _counters(connection: AsyncConnection) -> AsyncIterator[Fault]:
    """What is held, expected and given back, and what counts against limits and quotas, is the fold of the orders."""
    held: Counter[int] = Counter()
    incoming: Counter[int] = Counter()
    refunded: Counter[int] = Counter()  # order → fen that its refunds gave back, less what it says itself
    spent: Counter[tuple[str, int, int]] = Counter()  # (counter, account, period) → fen
    wanted = _ORDERS.where(orders.c.status.in_(("authorised", "posted")))
    async for row in _pages(connection, wanted, orders.c.id):
        if row.status == "authorised":
            held[row.payer_id] += row.amount + row.fee
            if row.kind == "top_up":
                incoming[row.payee_id] += row.amount
        if row.refunded:
            refunded[row.id] -= row.refunded
        if row.refunds_id is not None:
            refunded[row.refunds_id] += row.posted_amount
        if row.spent_day:
            amount = row.amount if row.posted_amount is None else row.posted_amount
            spent["day_spent", row.payer_id, row.spent_day] += amount
            spent["year_spent", row.payer_id, row.spent_day // 10_000] += amount
            if row.method == "static":
                spent["static_spent", row.payer_id, row.spent_day] += amount
            if row.quota_used:
                spent["quota_used", row.payer_id, row.quota_period] += row.quota_used
    for order_id, differs in refunded.items():
        if differs:
            yield Fault("refunded", f"order {order_id}", f"its refunds come to {differs} fen more than it says")
    async for account in _pages(connection, select(accounts), accounts.c.id):
        for name, expected in (("held", held[account.id]), ("incoming", incoming[account.id])):
            if (kept := getattr(account, name)) != expected:
                yield Fault(name, f"account {account.id}", f"kept {kept}, orders say {expected}")
        for name, period in _COUNTERS.items():
            kept, folded = getattr(account, name), spent[name, account.id, getattr(account, period)]
            if kept != folded:
                yield Fault("spending", f"account {account.id}", f"{name}: kept {kept}, orders say {folded}")


async def _orders(connection: AsyncConnection) -> AsyncIterator[Fault]:
    """A posted order has exactly its own entries, once; any other order has none. A channel outside has not said otherwise."""
    principal, fee = entries.alias("principal"), entries.alias("fee_entry")
    payer, charged = accounts.alias("payer"), accounts.alias("charged")
    fee_is_ours = and_(fee.c.debit_id == orders.c.payer_id, charged.c.kind == "fees", charged.c.city == payer.c.city)
    wanted = (
        select(
            orders.c.id,
            orders.c.status,
            orders.c.outside_state,
            orders.c.posted_amount,
            orders.c.fee,
            principal.c.amount.label("moved"),
            fee.c.amount.label("charged"),
            and_(principal.c.debit_id == orders.c.payer_id, principal.c.credit_id == orders.c.payee_id).label("same_parties"),
            or_(fee.c.id.is_(None), fee_is_ours).label("fee_is_ours"),
        )
        .outerjoin(principal, and_(principal.c.order_id == orders.c.id, principal.c.kind == orders.c.kind))
        .outerjoin(fee, and_(fee.c.order_id == orders.c.id, fee.c.kind == "fee"))
        .outerjoin(payer, payer.c.id == orders.c.payer_id)
        .outerjoin(charged, charged.c.id == fee.c.credit_id)
    )
    async for row in _pages(connection, wanted, orders.c.id):
        posted = row.status == "posted"
        expected = (row.posted_amount, row.fee or None) if posted else (None, None)
        if (row.moved, row.charged) != expected or (posted and not row.same_parties):
            yield Fault("order", f"order {row.id}", f"{row.status}: expected {expected}, entries say {(row.moved, row.charged)}")
        elif not row.fee_is_ours:
            yield Fault("order", f"order {row.id}", "its fee is not between its payer and the fees of its city")
        if row.outside_state and row.outside_state not in _OUTSIDE.get(row.status, ("waiting",)):
            yield Fault("outside", f"order {row.id}", f"{row.status}: the channel outside says {row.outside_state}")
    stray = (
        select(entries.c.id)
        .join(orders, orders.c.id == entries.c.order_id)
        .where(and_(entries.c.kind != orders.c.kind, entries.c.kind != "fee"))
        .limit(MOST_FAULTS)
    )
    for entry_id in (await connection.execute(stray)).scalars():
        yield Fault("order", f"entry {entry_id}", "is no part of its order")


async def _answered(connection: AsyncConnection) -> AsyncIterator[Fault]:
    """Whoever was told that an order is there, or posted, was told so for good: the keys' outcomes remember it."""
    outcomes = select(replays.c.id, tolerant(replays.c.outcome, "outcome"))
    async for page in _batches(connection, outcomes, replays.c.id):
        told: dict[int, bool] = {}  # order → whether it was told to be posted
        for row in page:
            if row.outcome is UNREADABLE:
                yield Fault("sealed", f"key {row.id}", "its outcome does not open")
                continue
            answer = json.loads(row.outcome)
            if answer.get("view") == "Order":
                order, posted = answer["value"]["id"], answer["value"]["status"] == "posted"
            elif answer.get("view") == "Booked":
                order, posted = answer["value"]["order_id"], True
            else:
                continue
            told[order] = told.get(order, False) or posted
        found = await connection.execute(select(orders.c.id, orders.c.status).where(orders.c.id.in_(list(told))))
        status = {row.id: row.status for row in found}
        for order, posted in told.items():
            if order not in status:
                yield Fault("order", f"order {order}", "was answered for and is gone")
            elif posted and status[order] != "posted":
                yield Fault("order", f"order {order}", f"was answered as posted and is {status[order]}")


async def _sealed(context: Context, connection: AsyncConnection) -> AsyncIterator[Fault]:
    """What people are known by, reached at and paid to opens, and is what its blind index was made of; a mailbox was proven."""
    for column, index, name in INDEXED:
        table = column.table
        wanted = select(table.c.id, tolerant(column, "text"), index.label("kept"))
        if table is users:
            wanted = wanted.where(users.c.status != "closed")  # what let them in is taken away, what was paid by whom is kept
        async for row in _pages(connection, wanted, table.c.id):
            if not agrees(context.vault, name, row.text, row.kept):
                yield Fault("sealed", f"{table.name} {row.id}", f"{column.name} is not the one that its blind index was made of")
    codes = select(challenges.c.user_id, challenges.c.phone_index).where(challenges.c.purpose == "email")
    proven = {(row.user_id, row.phone_index) for row in await connection.execute(codes)}
    wanted = select(users.c.id, tolerant(users.c.name, "name"), tolerant(users.c.email, "email"))
    async for row in _pages(connection, wanted, users.c.id):
        if row.name is UNREADABLE or row.email is UNREADABLE:
            yield Fault("sealed", f"users {row.id}", "name or email does not open")
        elif row.email is not None and (row.id, context.vault.index("email", row.email)) not in proven:
            yield Fault("sealed", f"users {row.id}", "email is none that a code of theirs went to")


async def _confirmations(context: Context, connection: AsyncConnection) -> AsyncIterator[Fault]:
    """A posted order holds the proof that its own code was taken, and its own receipt's number; only our key makes the proof."""
    async for row in _pages(connection, _ORDERS.where(orders.c.status == "posted"), orders.c.id):
        if row.posted_at is None or row.receipt_no != receipt_no(row.id, row.posted_at):
            yield Fault("receipt", f"order {row.id}", "the receipt's number is another one")
            continue
        proof = confirmation(context.keys, row.id, row._asdict(), row.posted_at, row.posted_amount or 0)
        if row.code_hash is None or not hmac.compare_digest(proof, row.code_hash):
            yield Fault("confirmation", f"order {row.id}", "was posted without its code (or the secret key is another one)")


async def _witnessed(connection: AsyncConnection, seen: Newest) -> AsyncIterator[Fault]:
    """The chain still holds the newest head that this process or the witness outside of the database has seen."""
    there = (await connection.execute(select(links.c.hash).where(links.c.position == seen.position))).scalar()
    if seen.position and there is None:
        yield Fault("rolled_back", f"link {seen.position}", "was seen before and is gone: this is an older copy of the database")
    elif seen.position and there != seen.hash:
        yield Fault("rolled_back", f"link {seen.position}", "is another one than was seen before: this is another history")


async def _chain(context: Context, connection: AsyncConnection, head: Row[Any] | None) -> AsyncIterator[Fault]:
    """Every link hashes its entry and the link before it, the head is signed, nothing sealed is missing."""
    position, previous = 0, START
    before = (links.c.position, links.c.hash, links.c.entry_id)
    wanted = select(*before, *CONTENT).select_from(links.outerjoin(FROM_ENTRIES, entries.c.id == links.c.entry_id))
    async for row in _pages(connection, wanted, links.c.position):
        position += 1
        if row.position != position:
            yield Fault("chain", f"link {position}", "is missing")
            position = row.position
        if row.id is None:
            yield Fault("chain", f"link {row.position}", f"entry {row.entry_id} is missing")
        elif not hmac.compare_digest(link_hash(previous, row.position, row[len(before) :]), row.hash):
            yield Fault("chain", f"entry {row.entry_id}", "is not what was sealed")
        previous = row.hash
    sealed, end = (head.position, head.hash) if head else (0, START)
    if (sealed, end) != (position, previous):
        yield Fault("chain", "head", f"the chain ends at {position}, the head says {sealed}")
    if head is None:
        if not await is_untouched(connection):
            yield Fault("chain", "head", "is missing")
        return
    if not is_signed(context, head):
        yield Fault("chain", "head", "the signature is not ours (or the secret key is another one)")
    skipped = (
        select(entries.c.id)
        .outerjoin(links, links.c.entry_id == entries.c.id)
        .where(entries.c.id <= head.watermark - LATE_COMMITS, links.c.entry_id.is_(None))
        .limit(MOST_FAULTS)
    )
    for entry_id in (await connection.execute(skipped)).scalars():
        yield Fault("chain", f"entry {entry_id}", "was slipped in behind the chain")
