"""Sealed values that open no more, or that stand in a row where they do not belong: one of them must not harm the others.

A value is bound to its column and not to its row, so whoever can write to the database can put one person's phone into another's
row. The blind index beside it tells: it stays the one of the phone that was proven.
"""

from __future__ import annotations

import hmac
from typing import Any, cast

from cryptography.exceptions import InvalidTag
from sqlalchemy import Column, Label, type_coerce
from sqlalchemy.engine import Dialect

from wallet_service.errors import UnknownDataKey
from wallet_service.schema import bills, cards, subscriptions, users
from wallet_service.vault import Sealed, Vault

UNREADABLE = object()  # in place of a value that does not open
# Sealed columns that something is sent to, paid to or known by: each with its blind index and what that is an index of.
INDEXED: tuple[tuple[Column[Any], Column[Any], str], ...] = (
    (users.c.phone, users.c.phone_index, "phone"),
    (users.c.id_number, users.c.id_index, "id_number"),
    (cards.c.number, cards.c.number_index, "card"),
    (bills.c.customer_no, bills.c.customer_index, "customer_no"),
    (subscriptions.c.customer_no, subscriptions.c.customer_index, "customer_no"),
)


class Misplaced(RuntimeError):
    """A sealed value stands in a row that it was not written to: nothing is sent or paid by it."""


class Tolerant(Sealed):
    """A sealed column as it is read among many rows: ``UNREADABLE`` where it does not open."""

    cache_ok = True

    def __init__(self, sealed: Sealed) -> None:
        super().__init__(sealed.name)
        self.sealed = sealed

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Open it if it opens."""
        try:
            return self.sealed.process_result_value(value, dialect)
        except (InvalidTag, UnknownDataKey, TypeError, ValueError):
            return UNREADABLE


def tolerant(column: Column[Any], label: str) -> Label[Any]:
    """Select a sealed column so that a value which does not open breaks nothing."""
    return type_coerce(column, Tolerant(cast("Sealed", column.type))).label(label)


def agrees(vault: Vault, name: str, text: object, index: bytes | None) -> bool:
    """Tell whether a text, as it was opened, is the one that its blind index was made of; where there is none, neither may be."""
    if text is None or index is None:
        return text is index
    return isinstance(text, str) and hmac.compare_digest(vault.index(name, text), index)
