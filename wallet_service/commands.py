"""What can be asked of the till: typed commands, one for each way to move money."""

from __future__ import annotations

from dataclasses import dataclass

from wallet_service.money import Fen


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move ``amount`` from a user's wallet (in ``city``, else the default one) to the wallet with the number ``payee``."""

    payer: int
    payee: str
    amount: Fen
    city: str | None = None
    note: str | None = None
