"""Accounts as this process last read or left them (PostgreSQL): who decides on them need not read them again.

Nothing is believed for it: each row carries the versions of itself and of its owner, and what is decided on a row is written
only where the database still has them (see :meth:`~wallet_service.sheet.Sheet.unlocked`). A row that a batch under way writes has
no version until it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

MOST = 5_000  # rows; some 1.5 kB each


@dataclass(slots=True)
class Remembered:
    """Rows of accounts with their owners', by id; the least used ones are forgotten first."""

    _rows: dict[int, dict[str, Any]] = field(default_factory=dict)

    def knows(self, ids: Iterable[int]) -> bool:
        """Tell whether all of these accounts are known."""
        return all(account_id in self._rows for account_id in ids)

    def recall(self, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Give copies of what is known of these accounts."""
        found = {}
        for account_id in ids:
            if (row := self._rows.pop(account_id, None)) is not None:
                self._rows[account_id] = row
                found[account_id] = row.copy()
        return found

    def keep(self, rows: Mapping[int, dict[str, Any]]) -> None:
        """Take rows for what is there now; they are not to be changed any more, but for their version."""
        for account_id in rows:
            self._rows.pop(account_id, None)
        self._rows.update(rows)
        for account_id in list(islice(self._rows, max(len(self._rows) - MOST, 0))):
            del self._rows[account_id]

    def forget(self, ids: Iterable[int]) -> None:
        """Forget accounts that somebody else may have changed."""
        for account_id in ids:
            self._rows.pop(account_id, None)
