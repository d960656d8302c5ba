"""What can be asked of the till: typed commands, one for each way to move money."""

from __future__ import annotations

from dataclasses import dataclass

from wallet_service.money import Fen


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move ``amount`` from a user's wallet (in ``city``, else the default one) to the wallet with the number ``payee``.

    ``delay`` (seconds, one of the profile's) lets the payer recall it until it arrives; the risk rules may lengthen it.
    ``surname`` is the payee's family name, needed before a stranger is paid for the first time. ``hints`` name the schemes of
    fraud that the payer's words sound like, as ``risk.toml`` knows them.
    """

    payer: int
    payee: str
    amount: Fen
    city: str | None = None
    note: str | None = None
    delay: int = 0
    surname: str | None = None
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pay:
    """Pay ``amount`` to the merchant with this number, whose code was a ``static`` or a dynamic one; ``hints`` as above."""

    payer: int
    merchant: str
    amount: Fen
    city: str | None = None
    note: str | None = None
    static: bool = False
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TopUp:
    """Put ``amount`` into a user's wallet from a bound card; a credit card costs a fee."""

    payer: int
    card: int
    amount: Fen
    city: str | None = None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Send ``amount`` from a user's wallet to a bound debit card; beyond the free quota it costs a fee."""

    payer: int
    card: int
    amount: Fen
    city: str | None = None


@dataclass(frozen=True, slots=True)
class PayBill:
    """Pay a bill whole, from the wallet in its biller's city."""

    payer: int
    bill: int


Command = Transfer | Pay | TopUp | Withdraw | PayBill
