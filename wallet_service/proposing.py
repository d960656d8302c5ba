"""Proposals: an order that nothing can change any more, and the code that confirms exactly it.

The money of a proposed order is not held: it is checked here and, finally, in the transaction that posts. A hold would lock a
customer's money for five minutes behind every abandoned proposal, and protect nobody, since the final check decides anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import brakes, errors
from wallet_service.checks import is_id
from wallet_service.codes import CODE_LIFE, ORDER_CODE, TRIES, order_text
from wallet_service.commands import Command
from wallet_service.context import SHANGHAI, Context
from wallet_service.drafting import draft, judge, outside_number, plain_inputs
from wallet_service.idempotency import once
from wallet_service.orders import require_ids, withdraw
from wallet_service.outbox import notice_row
from wallet_service.schema import orders, outbox, users
from wallet_service.sheet import Sheet
from wallet_service.vetting import keep, vet
from wallet_service.views import Order


def _confirmable(
    context: Context, row: dict[str, Any], old: Mapping[str, Any] | None, wrong_codes: int, now: datetime
) -> dict[str, Any]:
    """Give an order what its confirmation needs; in place of an ``old`` one it has no more tries and codes left than that had."""
    nonce = context.random.octets(16)
    row |= {
        "nonce": nonce,
        "counter": old["counter"] if old else 0,
        "tries": max(old["tries"] % TRIES if old else 0, wrong_codes % TRIES),
        "created_at": now,
        "expires_at": now + CODE_LIFE,
    }
    if row["outside"]:
        created = f"{now.astimezone(SHANGHAI):%Y%m%d}"
        row |= {"outside_no": outside_number(row["id"], nonce, created), "outside_state": "waiting"}
    code = context.keys.code(ORDER_CODE, order_text(row["kind"], row), row["counter"])
    return {**row, "code_hash": context.keys.code_hash(nonce, code)}


async def propose(context: Context, command: Command, *, actor: int, key: str, replaces: int | None) -> Order:
    """Keep an order that nothing can change any more, and send the code that confirms exactly it.

    ``replaces`` is cancelled in the same transaction, even when the new order is refused: its data were taken back.
    """
    if not is_id(command.payer) or command.payer != actor:
        raise errors.NotAllowed
    if replaces is not None:
        require_ids(replaces)

    async def work(connection: AsyncConnection) -> Order:
        sheet = Sheet(context, context.now())
        await brakes.hold(context, connection, actor)
        old = None if replaces is None else await withdraw(connection, replaces, actor, sheet.now)
        drafted = await draft(context, connection, command)
        counters = select(users.c.wrong_codes, users.c.locked_until).where(users.c.id == actor)
        person = (await connection.execute(counters)).one()
        brakes.check_lock(person.locked_until, sheet.now)
        row = await judge(context, connection, drafted, sheet)
        await brakes.check_payment_codes(context, connection, actor, sheet.now)
        vetted = await vet(connection, command, row, sheet)
        [row["id"]] = await context.order_ids.take(connection, 1)
        row = _confirmable(context, row, old, person.wrong_codes, sheet.now)
        await connection.execute(insert(orders), row)
        if vetted is not None:
            await keep(connection, vetted, row, order_id=row["id"])
        notice = notice_row("payment_code", sheet.now, user_id=actor, order_id=row["id"], counter=row["counter"])
        await connection.execute(insert(outbox), notice)
        sheet.orders[row["id"]] = row
        return sheet.view(row["id"])

    return await once(context, "propose", actor, key, [*plain_inputs(command), replaces], work)
