"""The world outside: what a bank or a biller has to do for an order, and the three things that it can answer.

An errand carries one number for good. A channel that is asked twice with one number does it once and says again what it said;
whoever cannot tell whether it was done answers ``unknown``, and is asked again with the same number and the same content.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

Answer = Literal["done", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Errand:
    """What is wanted, in fen: a ``top_up`` takes amount and fee from the card, a ``withdraw`` puts the amount on it, a ``bill``
    is paid for the customer's number with a service, for a month (yyyymm). ``again`` when an earlier answer is not known.
    """

    number: str
    kind: str
    city: str
    amount: int
    fee: int
    card: str | None = field(repr=False)
    bank: str | None
    service: str | None
    customer_no: str | None = field(repr=False)
    month: int | None
    again: bool


class Outside(Protocol):
    """A channel outside. Whatever it raises counts as ``unknown``."""

    async def run(self, errand: Errand) -> Answer:
        """Have it done once by its number, and tell what became of it."""
        ...
