"""Money as whole fen: no float, Decimal or text ever becomes an amount by accident."""

from __future__ import annotations

from wallet_service.errors import InvalidAmount

MAX_AMOUNT = 100_000_000_000  # fen (one billion yuan): far above every limit, far below 2**63 however many are added up


class Fen(int):
    """A whole number of fen; built only from an int, so 2.5 or "200" is refused instead of rounded."""

    __slots__ = ()

    def __new__(cls, value: object) -> Fen:
        """Take an int as it is, refuse anything else with ``invalid_amount``."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidAmount
        return super().__new__(cls, value)
