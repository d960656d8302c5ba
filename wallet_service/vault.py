"""Personal data at rest: AES-GCM under data keys that the server's secret wraps, and blind indexes to look them up by.

A sealed value is one byte of format, four that name the data key, twelve of nonce, then ciphertext and tag. The field's name
is associated data: a value moved to another column does not open. Equal texts seal differently, only an empty one stays empty;
equality is asked of the index, and whatever else would compare what is sealed is refused, since it would find nothing and say
nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ColumnElement, LargeBinary, TypeDecorator
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from wallet_service.errors import ConfigurationError, UnknownDataKey
from wallet_service.keys import Keys
from wallet_service.randomness import Randomness

_FORMAT, _KEY_ID, _NONCE, _TAG = 1, 4, 12, 16
HEAD = 1 + _KEY_ID  # bytes that tell format and key
SHORTEST = HEAD + _NONCE + _TAG  # bytes of a sealed empty text
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key as its row holds it: wrapped, and from when on (UTC) everybody seals under it."""

    id: int
    wrapped: bytes = field(repr=False)
    used_from: datetime


@dataclass(slots=True)
class Vault:
    """The data keys of one open wallet, by their ids; ``current`` is the one that new values are sealed under."""

    keys: Keys
    random: Randomness
    rows: dict[int, DataKey] = field(default_factory=dict, repr=False)
    ciphers: dict[int, AESGCM] = field(default_factory=dict, repr=False)
    current: int = 0
    in_use: bool = False  # something was sealed since the keys were looked at last
    wanted: asyncio.Event = field(default_factory=asyncio.Event)  # a value was met whose key is not known: look at once

    def wrap(self, key_id: int, key: bytes) -> bytes:
        """Encrypt a data key for its row; only the server's secret opens it."""
        nonce = self.random.octets(_NONCE)
        return nonce + AESGCM(self.keys.mac("data-keys", b"")).encrypt(nonce, key, f"data-key|{key_id}".encode())

    def learn(self, rows: Iterable[DataKey], now: datetime) -> DataKey | None:
        """Take the data keys as their table holds them now: learn the new ones, forget those that are gone, choose the current.

        Gives the key that has to be put back: it was deleted while this process went on sealing under it.
        """
        found = {row.id: row for row in rows}
        lost = self.rows[self.current] if self.in_use and found and self.current not in found else None
        if lost is not None:
            found[lost.id] = lost
        self.ciphers = {key_id: self.ciphers.get(key_id) or self._unwrap(row) for key_id, row in found.items()}
        self.rows, self.in_use = found, False
        self.current = max((row.id for row in found.values() if row.used_from <= now), default=min(found, default=0))
        return lost

    def _unwrap(self, row: DataKey) -> AESGCM:
        nonce, wrapped = row.wrapped[:_NONCE], row.wrapped[_NONCE:]
        try:
            key = AESGCM(self.keys.mac("data-keys", b"")).decrypt(nonce, wrapped, f"data-key|{row.id}".encode())
        except InvalidTag:
            raise ConfigurationError("the secret key is not the one that this database was made with") from None
        return AESGCM(key)

    def seal(self, name: str, text: str) -> bytes:
        """Encrypt a text for the field called ``name``."""
        if not text:
            return b""
        self.in_use = True
        head, nonce = head_of(self.current), self.random.octets(_NONCE)
        return head + nonce + self.ciphers[self.current].encrypt(nonce, text.encode(), head + name.encode())

    def open(self, name: str, sealed: bytes) -> str:
        """Decrypt what was sealed for the field called ``name``.

        Raises :class:`UnknownDataKey` for a key that this process has not learned (it looks at once), ``InvalidTag`` for
        what was not sealed for this field.
        """
        if not sealed:
            return ""
        head, nonce = sealed[:HEAD], sealed[HEAD : HEAD + _NONCE]
        key_id = int.from_bytes(head[1:], "big")
        cipher = self.ciphers.get(key_id)
        if cipher is None:
            self.wanted.set()
            raise UnknownDataKey(f"a value of {name} is sealed under data key {key_id}, which this process does not know yet")
        return cipher.decrypt(nonce, sealed[HEAD + _NONCE :], head + name.encode()).decode()

    def index(self, name: str, text: str) -> bytes:
        """Give a text's blind index: equal texts of one field, equal bytes, and nothing to learn from them."""
        return self.keys.mac(f"index-{name}", text.encode(errors="backslashreplace"))


def head_of(key_id: int) -> bytes:
    """Give the bytes that every value sealed under a data key begins with."""
    return bytes([_FORMAT]) + key_id.to_bytes(_KEY_ID, "big")


_ASKS_NULL = (operators.is_, operators.is_not)


def _refuse(what: object) -> NoReturn:
    raise TypeError(f"{what} is sealed: look it up by its blind index, or read the values and compare those")


class _Sealed(TypeDecorator.Comparator[Any]):
    """Lets a sealed column be asked whether it is null, and nothing else."""

    def operate(self, op: operators.OperatorType, *other: Any, **kwargs: Any) -> ColumnElement[Any]:
        if op in _ASKS_NULL or (op in (operators.eq, operators.ne) and other[0] is None):
            return super().operate(op, *other, **kwargs)
        _refuse(self.expr)

    def reverse_operate(self, op: operators.OperatorType, other: Any, **kwargs: Any) -> ColumnElement[Any]:
        _refuse(self.expr)


class Sealed(TypeDecorator[Any]):
    """A text that is encrypted in the database; the vault comes with the engine (:class:`~wallet_service.database.Database`)."""

    impl = LargeBinary
    cache_ok = True
    comparator_factory = _Sealed

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Seal a text on its way in."""
        return None if value is None else dialect.vault.seal(self.name, value)  # type: ignore[attr-defined]

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Open it on its way out."""
        return None if value is None else dialect.vault.open(self.name, value)  # type: ignore[attr-defined]


class Checked(Sealed):
    """A sealed text as a check reads it: its blind index, the same under every data key, and null where it does not open."""

    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Open it if it opens, and say what stands there without saying it."""
        with contextlib.suppress(InvalidTag, UnknownDataKey, TypeError):
            text = super().process_result_value(value, dialect)
            return None if text is None else dialect.vault.index(self.name, text).hex()  # type: ignore[attr-defined]
        return None


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class SealedJson(Sealed):
    """A JSON value that is encrypted in the database."""

    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Seal the value's JSON text; an empty object has none."""
        return None if value is None else super().process_bind_param("" if value == {} else _compact(value), dialect)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Open and read it."""
        return None if value is None else json.loads(super().process_result_value(value, dialect) or "{}")


def refusing(compiler: type[SQLCompiler]) -> type[SQLCompiler]:
    """Give a compiler that refuses what a column's own comparator cannot see: the right side, and sorting or grouping by it."""

    class Refusing(compiler):  # type: ignore[misc, valid-type]
        def visit_binary(self, binary: Any, *args: Any, **kw: Any) -> Any:
            if binary.operator not in _ASKS_NULL:
                _refuse_sealed((binary.right,))
            return super().visit_binary(binary, *args, **kw)

        def order_by_clause(self, select: Any, **kw: Any) -> Any:
            _refuse_sealed(select._order_by_clauses)
            return super().order_by_clause(select, **kw)

        def group_by_clause(self, select: Any, **kw: Any) -> Any:
            _refuse_sealed(select._group_by_clauses)
            return super().group_by_clause(select, **kw)

    return Refusing


def _refuse_sealed(clauses: Iterable[ClauseElement]) -> None:
    for clause in clauses:
        for part in visitors.iterate(clause):
            if isinstance(getattr(part, "type", None), Sealed):
                _refuse(part)
