"""Money as whole fen: no float, Decimal or text ever becomes an amount by accident."""

from __future__ import annotations

from wallet_service.errors import AmountNotPositive, AmountTooLarge, InvalidAmount

MAX_AMOUNT = 100_000_000_000  # fen (one billion yuan): far above every limit, far below 2**63 however many are added up
_HUGE = 10**100


class Fen(int):
    """A whole number of fen; built only from an int, so 2.5 or "200" is refused instead of rounded."""

    __slots__ = ()

    def __new__(cls, value: object) -> Fen:
        """Take an int as it is, refuse anything else with ``invalid_amount``."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidAmount
        return super().__new__(cls, value)


def bounded(amount: Fen) -> int:
    """Keep an amount to what can be written down: Python refuses longer numbers."""
    return max(-_HUGE, min(int(amount), _HUGE))


def checked_amount(value: object) -> int:
    """Give an amount in fen that can be moved, or refuse it."""
    amount = bounded(Fen(value))
    if amount <= 0:
        raise AmountNotPositive(amount=amount)
    if amount > MAX_AMOUNT:
        raise AmountTooLarge(amount=amount, limit=MAX_AMOUNT)
    return amount
