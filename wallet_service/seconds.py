"""The second factor of an order: a code of the authenticator or a recovery code, typed in the chat beside the order's own code.

A payment password proves an order on its page instead (``redeeming``); both are counted here.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import brakes, errors, factors
from wallet_service.checks import is_id
from wallet_service.codes import TRIES, typed_code
from wallet_service.context import Context
from wallet_service.idempotency import once
from wallet_service.orders import change_order, over, require_ids
from wallet_service.schema import orders


async def prove_second(context: Context, order_id: int, second: str, *, actor: int, key: str, code: str | None = None) -> None:
    """Take the second factor of an order that waits for one, once.

    Given together with the order's ``code``, both must be right, and ``wrong_code`` does not say which was not.
    """

    async def work(connection: AsyncConnection) -> None:
        now = context.now()
        await brakes.hold(context, connection, actor)
        person = await brakes.standing(connection, actor, now)
        order = await waiting_order(context, connection, actor, order_id)
        if order["second"] != "needed":
            return
        found = await factors.find_second(context, connection, actor, second, now)
        coded = code is None or context.keys.code_matches(order["nonce"], typed_code(code), order["code_hash"])
        if not (found and coded and await factors.spend_second(connection, actor, found, now)):
            tries = await count_wrong(connection, order, person["wrong_seconds"])
            until = await brakes.count_wrong_code(connection, actor, person["wrong_seconds"], now, of="wrong_seconds")
            if until is not None:
                raise errors.PaymentsLocked(retry_at=until.isoformat())
            raise errors.OrderLocked(tries=TRIES) if tries == TRIES else errors.WrongCode(tries_left=TRIES - tries)
        await change_order(connection, order_id, second="proven")
        if person["wrong_seconds"]:
            await brakes.forgive_wrong_codes(connection, actor, of="wrong_seconds")

    require_ids(order_id)
    # A key stands for one thing, and the authorisation that follows has the same one.
    own_key = hashlib.sha256(f"second|{key}".encode(errors="backslashreplace")).hexdigest()
    await once(context, "prove_second", actor, own_key, [order_id, second, code], work)


async def waiting_order(context: Context, connection: AsyncConnection, user_id: int, order_id: int) -> dict[str, Any]:
    """Keep an order that waits for its confirmation to this transaction, and give it."""
    own = (orders.c.id == order_id) & (orders.c.actor_id == user_id)
    found = await connection.execute(select(orders).where(own).with_for_update()) if is_id(order_id) else None
    kept = None if found is None else found.mappings().one_or_none()
    if kept is None:
        raise errors.OrderNotFound
    row = dict(kept)
    if (refusal := over(row, context.now())) is not None:
        raise refusal
    return row


async def count_wrong(connection: AsyncConnection, order: dict[str, Any], before: int) -> int:
    """Count a wrong second factor for an order; the person's fifth in a row ends it, whichever order the others were for."""
    tries: int = max(order["tries"], before % TRIES) + 1
    over = {"status": "refused", "refusal": errors.OrderLocked.code} if tries == TRIES else {}
    await change_order(connection, order["id"], tries=tries, **over)
    return tries
