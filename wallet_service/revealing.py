"""Personal data unmasked: for whom of the house has to see them, with a reason, and never without a trace."""

from __future__ import annotations

from typing import Literal, get_args

from sqlalchemy import insert, select

from wallet_service import errors
from wallet_service.checks import check_known, is_id, is_text
from wallet_service.context import Context
from wallet_service.schema import reveals as table
from wallet_service.schema import users
from wallet_service.views import Reveal

Field = Literal["phone", "name", "id_number", "email"]
SHORTEST, LONGEST = 4, 200  # characters of a reason (project defaults)
_LONGEST_ACTOR = 64


async def reveal(context: Context, user_id: int, field: Field, *, actor: str, reason: str) -> str:
    """Give one field of a person, empty where nothing is known, and note who saw it and why in the same transaction."""
    check_known("field", field, get_args(Field))
    if not is_text(actor) or not 1 <= len(actor) <= _LONGEST_ACTOR:
        raise errors.InvalidArgument(argument="actor")  # whoever sees personal data has a name
    why = " ".join(reason.split()) if is_text(reason) else ""
    if not SHORTEST <= len(why) <= LONGEST:
        raise errors.ReasonNeeded(shortest=SHORTEST, longest=LONGEST)
    if not is_id(user_id):
        raise errors.PersonNotFound
    async with context.database.write() as connection:
        found = (await connection.execute(select(users.c[field]).where(users.c.id == user_id))).one_or_none()
        if found is None:
            raise errors.PersonNotFound
        row = {"user_id": user_id, "actor": actor, "field": field, "reason": why, "at": context.now()}
        await connection.execute(insert(table).values(row))
    return found[0] or ""


async def reveals(context: Context, user_id: int) -> tuple[Reveal, ...]:
    """Tell who saw what of a person, and why, the newest first."""
    if not is_id(user_id):
        return ()
    columns = (table.c.user_id, table.c.field, table.c.actor, table.c.reason, table.c.at)
    wanted = select(*columns).where(table.c.user_id == user_id).order_by(table.c.id.desc())
    async with context.database.read() as connection:
        return tuple(Reveal(*row) for row in await connection.execute(wanted))
