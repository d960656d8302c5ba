"""Proving by a code that it is the person who changes something: the phone, a password, an authenticator, a frozen wallet.

Three steps. ``start_change`` sends a code to the person's own phone; begun anew it sends another code, and the one before is
dead. Only a new phone and a mailbox are proven elsewhere, on themselves (``reaching``). ``prove_change`` takes the code. Whoever
makes the change then spends the proof in the transaction that makes it, with :func:`spend_proof`: one proof, one change, of the
one kind that it was asked for; what went to a phone that is the person's no more proves nothing. Wrong codes count for the person
as well, over all changes and payments, with the rising lock of ``brakes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service import brakes, errors
from wallet_service.checks import check_known, is_text
from wallet_service.codes import CHANGE_CODE, CODE_LIFE, TRIES, change_text, is_over, typed_code
from wallet_service.context import Context
from wallet_service.factors import find_second, spend_second
from wallet_service.idempotency import once
from wallet_service.masks import mask_email, mask_phone
from wallet_service.outbox import notice_row
from wallet_service.people import phone_index, require_own_phone
from wallet_service.schema import challenges, outbox, users
from wallet_service.views import Change

Purpose = Literal["set_password", "reset_password", "authenticator", "old_phone", "new_phone", "email", "unfreeze", "close"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
_MAIL: Purpose = "email"  # what a mailbox proves: itself; everything else is proven by a phone
_ELSEWHERE: tuple[Purpose, ...] = ("new_phone", _MAIL)  # proven where the person is not reached yet
Row = Mapping[str, Any]
PROOF_LIFE = timedelta(minutes=10)  # after the code's own five: how long a proof may wait for its change
_AT_HAND = (  # changes kept still until the transaction ends, without those whose code went to a phone that was given up since
    select(challenges)
    .join(users, users.c.id == challenges.c.user_id)
    .where(challenges.c.purpose.in_(_ELSEWHERE) | (challenges.c.phone_index == users.c.phone_index))
    .with_for_update(of=[challenges])
)


async def start_change(context: Context, user_id: int, purpose: Purpose, *, key: str) -> Change:
    """Send the code that proves a change to the person's own phone; ``invalid_argument`` for what is not proven there."""
    check_known("purpose", purpose, [known for known in PURPOSES if known not in _ELSEWHERE])

    async def work(connection: AsyncConnection) -> Change:
        now = context.now()
        await brakes.hold(context, connection, user_id)
        person = await brakes.standing(connection, user_id, now)
        return await send_code(context, connection, user_id, purpose, person["phone"], now)

    return await once(context, "start_change", user_id, key, [purpose], work)


async def send_code(
    context: Context, connection: AsyncConnection, user_id: int, purpose: Purpose, to: str, now: datetime
) -> Change:
    """Send a code for a change of a person who is held; the one that waits for the same change is dead from now on."""
    by_mail = purpose == _MAIL
    index = context.vault.index("email", to) if by_mail else phone_index(context, to)
    if purpose not in _ELSEWHERE:
        await require_own_phone(context, connection, user_id)
    await brakes.check_phone_codes(context, connection, index, now)
    mine = (challenges.c.user_id == user_id) & (challenges.c.purpose == purpose)
    await connection.execute(update(challenges).where(mine, challenges.c.status.in_(("open", "proven"))).values(status="used"))
    nonce = context.random.octets(16)
    code = context.keys.code(CHANGE_CODE, change_text(purpose, user_id, to, nonce), 0)
    row = {
        "phone": to,
        "phone_index": index,
        "purpose": purpose,
        "user_id": user_id,
        "status": "open",
        "nonce": nonce,
        "counter": 0,
        "code_hash": context.keys.code_hash(nonce, code),
        "tries": 0,
        "created_at": now,
        "expires_at": now + CODE_LIFE,
    }
    row_id = (await connection.execute(insert(challenges).values(row).returning(challenges.c.id))).scalar_one()
    kind = "email_code" if by_mail else "change_code"
    notice = notice_row(kind, now, user_id=user_id, challenge_id=row_id, to=to if by_mail else None)
    await connection.execute(insert(outbox).values(notice))
    return Change(context.keys.public_id("change", row_id), mask_email(to) if by_mail else mask_phone(to), now + CODE_LIFE)


async def prove_change(context: Context, user_id: int, change_id: str, code: str, *, key: str) -> None:
    """Take the code of a change."""

    async def work(connection: AsyncConnection) -> None:
        now = context.now()
        await brakes.hold(context, connection, user_id)
        person = await brakes.standing(connection, user_id, now)
        row = await _found(context, connection, user_id, change_id)
        if row["status"] == "locked":
            raise errors.ChangeLocked(tries=TRIES)
        if row["status"] != "open":
            raise errors.ChangeNotFound
        if is_over(row["expires_at"], now):
            raise errors.CodeExpired(expired_at=row["expires_at"].isoformat())
        if not fits(context, row, code):
            tries = await count_wrong(connection, row)
            locked_until = await brakes.count_wrong_code(connection, user_id, person["wrong_codes"], now)
            if locked_until is not None:
                raise errors.PaymentsLocked(retry_at=locked_until.isoformat())
            raise errors.ChangeLocked(tries=TRIES) if tries == TRIES else errors.WrongCode(tries_left=TRIES - tries)
        if person["wrong_codes"]:
            await brakes.forgive_wrong_codes(connection, user_id)
        await set_status(connection, row["id"], "proven")

    await once(context, "prove_change", user_id, key, [change_id, code], work)


async def spend_proof(context: Context, connection: AsyncConnection, user_id: int, purpose: Purpose, change_id: str) -> str:
    """Use up a proof in the transaction of its change, and give the phone that it proved; ``change_not_found`` without one."""
    row = await find_proof(context, connection, user_id, purpose, change_id)
    await set_status(connection, row["id"], "used")
    return str(row["phone"])


async def find_proof(
    context: Context, connection: AsyncConnection, user_id: int, purpose: Purpose, change_id: str
) -> dict[str, Any]:
    """Give a proof without using it up, for a change that has more to check first."""
    row = await _found(context, connection, user_id, change_id)
    late = is_over(row["expires_at"] + PROOF_LIFE, context.now(), CODE_LIFE + PROOF_LIFE)
    if row["status"] != "proven" or row["purpose"] != purpose or late:
        raise errors.ChangeNotFound
    return row


async def take_second(context: Context, connection: AsyncConnection, person: Row, proof: Row, second: str | None) -> None:
    """Take a code of the authenticator, or a recovery code, beside a proven change."""
    if second is None:
        raise errors.SecondProofNeeded(ways=["authenticator"])
    now = context.now()
    brakes.check_lock(person["locked_until"], now)
    found = await find_second(context, connection, person["id"], second, now)
    right = found is not None and await spend_second(connection, person["id"], found, now)
    await judge(connection, person, proof, right, now)


async def judge(connection: AsyncConnection, person: Row, proof: Row, right: bool, now: datetime) -> None:
    """Count what was proven on top of a change's code: wrong ones in a row, over everything, and the fifth ends this change."""
    if right:
        if person["wrong_seconds"]:
            await brakes.forgive_wrong_codes(connection, person["id"], of="wrong_seconds")
        return
    tries = person["wrong_seconds"] % TRIES + 1
    until = await brakes.count_wrong_code(connection, person["id"], person["wrong_seconds"], now, of="wrong_seconds")
    if tries == TRIES:
        await set_status(connection, proof["id"], "locked")
    if until is not None:
        raise errors.PaymentsLocked(retry_at=until.isoformat())
    raise errors.ChangeLocked(tries=TRIES) if tries == TRIES else errors.WrongProof(tries_left=TRIES - tries)


def fits(context: Context, row: Mapping[str, Any], code: object) -> bool:
    """Compare a typed code with a change's, in constant time."""
    return context.keys.code_matches(row["nonce"], typed_code(code), row["code_hash"])


async def count_wrong(connection: AsyncConnection, row: Mapping[str, Any]) -> int:
    """Count a wrong code for its change, which the fifth ends; give how many there were."""
    tries: int = row["tries"] + 1
    status = "locked" if tries == TRIES else "open"
    await connection.execute(update(challenges).where(challenges.c.id == row["id"]).values(tries=tries, status=status))
    return tries


async def waiting(connection: AsyncConnection, user_id: int, purpose: Purpose, now: datetime) -> dict[str, Any] | None:
    """Give the code that a person's change waits for, kept still until the transaction ends; None when there is none."""
    mine = (challenges.c.user_id == user_id) & (challenges.c.purpose == purpose) & (challenges.c.status == "open")
    wanted = _AT_HAND.where(mine, challenges.c.expires_at > now)
    row = (await connection.execute(wanted)).mappings().one_or_none()
    return None if row is None else dict(row)


async def set_status(connection: AsyncConnection, row_id: int, status: str) -> None:
    """Move a change on."""
    await connection.execute(update(challenges).where(challenges.c.id == row_id).values(status=status))


async def _found(context: Context, connection: AsyncConnection, user_id: int, change_id: str) -> dict[str, Any]:
    row_id = context.keys.row_of("change", change_id) if is_text(change_id) else None
    wanted = _AT_HAND.where(challenges.c.id == row_id, challenges.c.user_id == user_id)
    row = None if row_id is None else (await connection.execute(wanted)).mappings().one_or_none()
    if row is None:
        raise errors.ChangeNotFound
    return dict(row)
