"""What happens to an account besides payments: kept for good, and told to its owner by every way that they have."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from wallet_service.outbox import notice_row
from wallet_service.schema import account_events, outbox


async def happened(
    connection: AsyncConnection, user_id: int, kind: str, now: datetime, *, by: str = "owner", **facts: Any
) -> None:
    """Keep what happened and who did it, and have its owner told; ``facts`` are figures, never personal data."""
    await note(connection, user_id, kind, now, by=by, **facts)
    await connection.execute(insert(outbox).values(notice_row(kind, now, user_id=user_id, facts={"by": by, **facts})))


async def note(connection: AsyncConnection, user_id: int, kind: str, now: datetime, *, by: str = "owner", **facts: Any) -> None:
    """Keep what happened without telling."""
    await connection.execute(insert(account_events).values(user_id=user_id, kind=kind, by=by, facts=facts, at=now))
