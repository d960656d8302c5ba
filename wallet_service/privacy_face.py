"""The part of the wallet's face that is about personal data themselves: changing the key that they are sealed under."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import MetaData

from wallet_service import rotation
from wallet_service.context import Context
from wallet_service.views import Rotation

ROTATION_KEEP = 60.0  # seconds; several times what any process needs to look at the data keys again


class PrivacyFace:
    """What concerns personal data and no payment."""

    _context: Context

    async def rotate_keys(self, *others: MetaData, keep: float = ROTATION_KEEP) -> Rotation:
        """Change to a new data key while the service runs, or finish a change that died; takes ``keep`` seconds twice and more.

        ``others`` are the tables beside the wallet's. The old key is kept in use for ``keep`` seconds, in which every other
        process learns the new one, and as long again before it is deleted; 0 is for when no other process has the database open.
        """
        return await rotation.rotate_keys(self._context, others, timedelta(seconds=keep))
