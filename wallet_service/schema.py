"""The tables, as Core objects. Portable SQL: SQLite now, PostgreSQL by its URL.

An entry is one row that debits one account and credits another by the same amount, so debits equal credits by construction.
A balance is credits minus debits (a wallet is money we owe its owner) and is kept on the account's row. The constraints and
the triggers of ``migrations`` hold whatever the code above them does: no overdraft, no changed entry, no illegal transition.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, stored as integer milliseconds: exact, sortable, and the same bytes in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Turn an aware datetime into milliseconds since 1970."""
        return None if value is None else (value - _EPOCH) // _MILLISECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Turn milliseconds since 1970 into an aware datetime."""
        return None if value is None else _EPOCH + value * _MILLISECOND


Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_IS_SYSTEM = text("kind IN ('clearing', 'fees', 'promotions')")

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("phone", String(11), nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("level", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("default_city", String(32), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("wrong_codes", Integer, nullable=False, server_default="0"),  # for payments, in a row, over all orders
    Column("locked_until", Instant),  # nothing is confirmed before it
    CheckConstraint("level BETWEEN 1 AND 4", name="level"),
    CheckConstraint("status IN ('active', 'frozen')", name="status"),
)

contacts = Table(
    "contacts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner_id", Id, ForeignKey("users.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    UniqueConstraint("owner_id", "user_id"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Id, primary_key=True),
    Column(
        "kind",
        String(16),
        nullable=False,
    ),
    Column("city", String(32), nullable=False),
    Column("user_id", Id, ForeignKey("users.id")),
    Column("number", String(13), unique=True),
    Column("name", String(64), nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),  # yyyymmdd in Asia/Shanghai that day_spent counts
    Column("day_spent", BigInteger, nullable=False),
    Column("year", Integer, nullable=False),
    Column("year_spent", BigInteger, nullable=False),
    # Money enters and leaves the books at the bank and is given away from promotions; nothing else may go below zero.
    CheckConstraint("kind IN ('clearing', 'promotions') OR balance >= held", name="no_overdraft"),
    CheckConstraint("held >= 0", name="held"),
    CheckConstraint("(kind = 'wallet') = (user_id IS NOT NULL)", name="owner"),
    UniqueConstraint("user_id", "city"),
    Index("uq_accounts_system", "kind", "city", unique=True, sqlite_where=_IS_SYSTEM, postgresql_where=_IS_SYSTEM),
    CheckConstraint("kind IN ('wallet', 'merchant', 'biller', 'clearing', 'fees', 'promotions')", name="kind"),
)

billers = Table(
    "billers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False, unique=True),
    Column("service", String(16), nullable=False),  # water, electricity, gas, phone
)

bills = Table(
    "bills",
    metadata,
    Column("id", Id, primary_key=True),
    Column("biller_id", Id, ForeignKey("billers.id"), nullable=False),
    Column("customer_no", String(32), nullable=False),
    Column("month", Integer, nullable=False),  # yyyymm
    Column("amount", BigInteger, nullable=False),
    UniqueConstraint("biller_id", "customer_no", "month"),
    CheckConstraint("amount > 0", name="amount"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column(
        "status",
        String(16),
        nullable=False,
    ),
    Column("actor_id", Id, ForeignKey("users.id"), nullable=False),
    Column("payer_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("payee_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("note", String(100), nullable=False),
    Column("nonce", LargeBinary(16), nullable=False),
    Column("counter", Integer, nullable=False),
    Column("code_hash", LargeBinary(32)),  # of the waiting code; of a posted order: the proof that its code was taken
    Column("tries", Integer, nullable=False),
    Column("refusal", String(32)),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("authorised_at", Instant),
    Column("posted_at", Instant),
    Column("receipt_no", String(32), unique=True),
    CheckConstraint("payer_id <> payee_id", name="two_accounts"),
    CheckConstraint("(status = 'posted') = (posted_at IS NOT NULL)", name="posted_at"),
    CheckConstraint("status IN ('proposed', 'authorised', 'posted', 'expired', 'cancelled', 'refused')", name="status"),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("fee >= 0", name="fee"),
    CheckConstraint("tries BETWEEN 0 AND 5", name="tries"),
)

entries = Table(
    "entries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("order_id", Id, ForeignKey("orders.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("debit_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("credit_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("debit_balance", BigInteger, nullable=False),  # of the debited account after this entry
    Column("credit_balance", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    CheckConstraint("debit_id <> credit_id", name="two_accounts"),
    UniqueConstraint("order_id", "kind"),  # an order posts each of its parts at most once, whatever the code does
    Index(None, "debit_id", "id"),
    Index(None, "credit_id", "id"),
    CheckConstraint("amount > 0", name="amount"),
)

links = Table(
    "links",
    metadata,
    Column("position", Id, primary_key=True, autoincrement=False),
    Column("entry_id", Id, ForeignKey("entries.id"), nullable=False, unique=True),
    Column("hash", LargeBinary(32), nullable=False),
)

chain_head = Table(
    "chain_head",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("watermark", BigInteger, nullable=False),  # highest entry id in the chain
    Column("hash", LargeBinary(32), nullable=False),
    Column("signature", LargeBinary(32), nullable=False),
    CheckConstraint("id = 1", name="one"),
)

challenges = Table(
    "challenges",
    metadata,
    Column("id", Id, primary_key=True),
    Column("phone", String(11), nullable=False),
    Column(
        "status",
        String(16),
        nullable=False,
    ),
    Column("nonce", LargeBinary(16), nullable=False),
    Column("counter", Integer, nullable=False),
    Column("code_hash", LargeBinary(32), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Index(None, "phone", "created_at"),
    CheckConstraint("status IN ('open', 'proven', 'used', 'locked')", name="status"),
    CheckConstraint("tries BETWEEN 0 AND 5", name="tries"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("user_id", Id, ForeignKey("users.id")),
    Column("order_id", Id, ForeignKey("orders.id")),
    Column("challenge_id", Id, ForeignKey("challenges.id")),
    Column("counter", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Instant, nullable=False),  # a claim moves it on, so that a crashed sender's notice comes back
    Column("created_at", Instant, nullable=False),
    Index(None, "status", "due_at"),
    Index(None, "user_id", "kind", "created_at"),
    Index(None, "challenge_id"),
    CheckConstraint("status IN ('waiting', 'sent', 'void')", name="status"),
)

replays = Table(
    "replays",
    metadata,
    Column("id", Id, primary_key=True),
    Column("scope", BigInteger, nullable=False),  # the acting user's id, 0 before log-in
    Column("key", String(255), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("outcome", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("scope", "key"),
)
