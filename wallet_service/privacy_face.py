"""The part of the wallet's face that is about personal data: who sees them unmasked, and what they are sealed under."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import MetaData

from wallet_service import revealing, rotation
from wallet_service.context import Context
from wallet_service.views import Reveal, Rotation

ROTATION_KEEP = 60.0  # seconds; several times what any process needs to look at the data keys again


class PrivacyFace:
    """What concerns personal data and no payment."""

    _context: Context

    async def reveal(self, user_id: int, field: revealing.Field, *, actor: str, reason: str) -> str:
        """Show one field of a person unmasked to ``actor`` of the house, who may see it as the caller has made sure.

        It is logged for good, with the reason (4-200 characters); the person is not told. ``invalid_argument`` for another field.
        """
        return await revealing.reveal(self._context, user_id, field, actor=actor, reason=reason)

    async def reveals(self, user_id: int) -> tuple[Reveal, ...]:
        """Tell who saw what of a person, and why, the newest first."""
        return await revealing.reveals(self._context, user_id)

    async def rotate_keys(self, *others: MetaData, keep: float = ROTATION_KEEP) -> Rotation:
        """Change to a new data key while the service runs, or finish a change that died; takes ``keep`` seconds twice and more.

        ``others`` are the tables beside the wallet's. The old key is kept in use for ``keep`` seconds, in which every other
        process learns the new one, and as long again before it is deleted; 0 is for when no other process has the database open.
        """
        return await rotation.rotate_keys(self._context, others, timedelta(seconds=keep))
