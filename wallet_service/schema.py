"""The tables, as Core objects. Portable SQL: SQLite now, PostgreSQL by its URL.

An entry is one row that debits one account and credits another by the same amount, so debits equal credits by construction.
A balance is credits minus debits (a wallet is money we owe its owner) and is kept on the account's row. The constraints and
the triggers of ``migrations`` hold whatever the code above them does: no overdraft, no changed entry, no illegal transition.
Personal data stand sealed (``vault``); what is looked up by them has a blind index beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
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

from wallet_service.vault import Sealed, SealedJson

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

_IS_SYSTEM = text("kind IN ('clearing', 'fees', 'promotions', 'settlement')")


def _index_of(name: str, **options: Any) -> Column[Any]:
    """Give the column of a blind index."""
    return Column(name, LargeBinary(32), **options)


_IS_CLOSING = text("status = 'closing'")
_IS_ASKED = text("outside_no IS NOT NULL")
_IS_REFUND = text("refunds_id IS NOT NULL")
_IS_LOGIN = text("challenge_id IS NOT NULL")
IS_DUE = text("status = 'authorised'")
PAYS_BILL = text("bill_id IS NOT NULL AND status IN ('authorised', 'posted')")

data_keys = Table(
    "data_keys",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary(60), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("used_from", Instant, nullable=False),  # by then every open wallet has learned it
)

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("phone", Sealed("users.phone"), nullable=False),
    _index_of("phone_index", nullable=False, unique=True),
    Column("name", Sealed("users.name"), nullable=False),
    Column("id_number", Sealed("users.id_number")),
    _index_of("id_index", unique=True),  # one person, one set of wallets
    Column("email", Sealed("users.email")),
    Column("level", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column(
        "frozen_by", String(16), nullable=False, server_default=""
    ),  # who has to let it go: the owner, the risk rules, an agent
    Column("closes_at", Instant),  # end of the cooling-off
    Column("exported_at", Instant),  # when the records were last taken along
    Column("default_city", String(32), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("wrong_codes", Integer, nullable=False, server_default="0"),  # for payments, in a row, over all orders
    Column("wrong_seconds", Integer, nullable=False, server_default="0"),  # second factors, in a row
    Column("locked_until", Instant),  # nothing is confirmed before it
    CheckConstraint("level BETWEEN 1 AND 4", name="level"),
    CheckConstraint("status IN ('active', 'frozen', 'closing', 'closed')", name="status"),
    CheckConstraint("frozen_by IN ('', 'owner', 'risk', 'agent')", name="frozen_by"),
    CheckConstraint("(status = 'closing') = (closes_at IS NOT NULL)", name="closes_at"),
    Index("ix_users_closing", "closes_at", sqlite_where=_IS_CLOSING, postgresql_where=_IS_CLOSING),
)

# What happened to somebody's account, by whom; the risk rules ask it how long ago a phone was changed.
account_events = Table(
    "account_events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("kind", String(32), nullable=False),  # as the notice that tells of it
    Column("by", String(64), nullable=False),
    Column("facts", SealedJson("account_events.facts"), nullable=False),
    Column("at", Instant, nullable=False),
    Index(None, "user_id", "kind", "at"),
)

contacts = Table(
    "contacts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner_id", Id, ForeignKey("users.id"), nullable=False),
    Column("name", Sealed("contacts.name"), nullable=False),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    UniqueConstraint("owner_id", "user_id"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("city", String(32), nullable=False),
    Column("user_id", Id, ForeignKey("users.id")),
    Column("number", String(13), unique=True),
    Column("name", String(64), nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("incoming", BigInteger, nullable=False, server_default="0"),  # fen that the bank was asked for, to top it up
    Column("day", Integer, nullable=False),  # yyyymmdd in Asia/Shanghai that day_spent counts
    Column("day_spent", BigInteger, nullable=False),
    Column("year", Integer, nullable=False),
    Column("year_spent", BigInteger, nullable=False),
    Column("static_spent", BigInteger, nullable=False, server_default="0"),  # of day_spent, to static merchant codes
    Column("quota_period", Integer, nullable=False, server_default="0"),  # yyyymm, yyyy or 1 (for good) that quota_used counts
    Column("quota_used", BigInteger, nullable=False, server_default="0"),  # fen withdrawn without a fee
    # Money enters and leaves the books at the bank and is given away from promotions; nothing else may go below zero.
    CheckConstraint("kind IN ('clearing', 'promotions') OR balance >= held", name="no_overdraft"),
    CheckConstraint("held >= 0", name="held"),
    CheckConstraint("incoming >= 0", name="incoming"),
    CheckConstraint("(kind = 'wallet') = (user_id IS NOT NULL)", name="owner"),
    UniqueConstraint("user_id", "city"),
    Index("uq_accounts_system", "kind", "city", unique=True, sqlite_where=_IS_SYSTEM, postgresql_where=_IS_SYSTEM),
    CheckConstraint("kind IN ('wallet', 'merchant', 'biller', 'clearing', 'fees', 'promotions', 'settlement')", name="kind"),
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
    Column("customer_no", Sealed("bills.customer_no"), nullable=False),  # often a phone
    _index_of("customer_index", nullable=False),
    Column("month", Integer, nullable=False),  # yyyymm
    Column("amount", BigInteger, nullable=False),
    UniqueConstraint("biller_id", "customer_index", "month"),
    CheckConstraint("amount > 0", name="amount"),
)

# Whose bills a person pays: a number under which a biller knows a household.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("biller_id", Id, ForeignKey("billers.id"), nullable=False),
    Column("customer_no", Sealed("subscriptions.customer_no"), nullable=False),
    _index_of("customer_index", nullable=False),
    UniqueConstraint("user_id", "biller_id", "customer_index"),
)

cards = Table(
    "cards",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("number", Sealed("cards.number"), nullable=False),
    _index_of("number_index", nullable=False),
    Column("bank", String(32), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("status", String(8), nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("user_id", "number_index"),
    CheckConstraint("kind IN ('debit', 'credit')", name="kind"),
    CheckConstraint("status IN ('bound', 'unbound')", name="status"),
)

# An order that is authorised holds its money: amount and fee are in its payer's ``held`` until it is posted, voided or expired.
orders = Table(
    "orders",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("actor_id", Id, ForeignKey("users.id")),  # null: asked for by a merchant or by the house itself
    Column("payer_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("payee_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False, server_default="0"),
    Column("note", Sealed("orders.note"), nullable=False),  # free text: whatever people write, names and phones too
    Column("method", String(12), nullable=False, server_default="balance"),  # what it is paid by; of a merchant's code its sort
    Column("card_id", Id, ForeignKey("cards.id")),
    Column("bill_id", Id, ForeignKey("bills.id")),
    Column("refunds_id", Id, ForeignKey("orders.id")),  # the payment that this gives back, or a part of it
    Column("refunded", BigInteger, nullable=False, server_default="0"),  # fen of this order that refunds gave back
    Column("delay", Integer, nullable=False, server_default="0"),  # seconds from confirmation to arrival
    Column("nonce", LargeBinary(16), nullable=False),
    Column("counter", Integer, nullable=False, server_default="0"),
    Column("code_hash", LargeBinary(32)),  # of the waiting code; of a posted order: the proof that it was posted by us as it is
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("second", String(8), nullable=False, server_default=""),  # the second factor
    Column("warnings", JSON, nullable=False, server_default="[]"),  # codes of the risk rules that its payer is shown
    Column("refusal", String(32)),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("authorised_at", Instant),
    Column("spent_day", Integer, nullable=False, server_default="0"),  # yyyymmdd whose limits it counts against, 0 before it does
    Column("quota_used", BigInteger, nullable=False, server_default="0"),  # fen of the free quota that it takes
    Column("quota_period", Integer, nullable=False, server_default="0"),
    Column("due_at", Instant),  # when an authorised order arrives, or the outside channel is asked (again)
    Column("outside", String(8), nullable=False, server_default=""),  # which channel outside has to do its part
    Column("outside_no", String(32)),  # its number there: one order, one number, however often it is asked
    Column("outside_state", String(8), nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("posted_at", Instant),
    Column("posted_amount", BigInteger),  # may be less than was held
    Column("receipt_no", String(32), unique=True),
    CheckConstraint("payer_id <> payee_id", name="two_accounts"),
    CheckConstraint("(status = 'posted') = (posted_at IS NOT NULL)", name="posted_at"),
    CheckConstraint("(posted_amount IS NULL) = (posted_at IS NULL) AND posted_amount BETWEEN 1 AND amount", name="posted_amount"),
    CheckConstraint("refunded BETWEEN 0 AND COALESCE(posted_amount, 0)", name="refunded"),
    CheckConstraint("status IN ('proposed', 'authorised', 'posted', 'voided', 'expired', 'cancelled', 'refused')", name="status"),
    CheckConstraint("kind IN ('transfer', 'pay', 'top_up', 'withdraw', 'bill', 'refund', 'settle')", name="kind"),
    CheckConstraint("(kind = 'refund') = (refunds_id IS NOT NULL)", name="refunds"),
    CheckConstraint(
        "method IN ('balance', 'static', 'dynamic', 'code', 'debit_card', 'credit_card', 'third_party', 'counter')", name="method"
    ),
    CheckConstraint("second IN ('', 'needed', 'proven')", name="second"),
    CheckConstraint("outside IN ('', 'bank', 'biller')", name="outside"),
    CheckConstraint("outside_state IN ('', 'waiting', 'unknown', 'done', 'refused')", name="outside_state"),
    CheckConstraint("(outside = '') = (outside_state = '') AND (outside = '') = (outside_no IS NULL)", name="outside_no"),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("fee >= 0", name="fee"),
    CheckConstraint("quota_used BETWEEN 0 AND amount", name="quota_used"),
    CheckConstraint("delay >= 0", name="delay"),
    CheckConstraint("tries BETWEEN 0 AND 5", name="tries"),
    Index("ix_orders_due", "due_at", sqlite_where=IS_DUE, postgresql_where=IS_DUE),
    Index("ix_orders_authorised", "payer_id", sqlite_where=IS_DUE, postgresql_where=IS_DUE),
    Index("uq_orders_bill", "bill_id", unique=True, sqlite_where=PAYS_BILL, postgresql_where=PAYS_BILL),  # none is paid twice
    Index("uq_orders_outside_no", "outside_no", unique=True, sqlite_where=_IS_ASKED, postgresql_where=_IS_ASKED),
    Index("ix_orders_refunds_id", "refunds_id", sqlite_where=_IS_REFUND, postgresql_where=_IS_REFUND),
    Index(None, "actor_id", "id"),
)

entries = Table(
    "entries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("order_id", Id, ForeignKey("orders.id"), nullable=False),
    Column("kind", String(16), nullable=False),  # of its order, or "fee"
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
    Column("phone", Sealed("challenges.phone"), nullable=False),  # or the mailbox that the code goes to
    _index_of("phone_index", nullable=False),
    _index_of("door_index"),  # the end of a channel that asked for it
    Column("purpose", String(16), nullable=False, server_default="login"),
    Column("user_id", Id, ForeignKey("users.id")),  # whose change it proves; null for a log-in
    Column("status", String(16), nullable=False),
    Column("nonce", LargeBinary(16), nullable=False),
    Column("counter", Integer, nullable=False),
    Column("code_hash", LargeBinary(32), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Index(None, "phone_index", "created_at"),
    Index(None, "door_index", "created_at"),
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
    Column("counter", Integer, nullable=False, server_default="0"),
    Column("way", String(8), nullable=False, server_default="all"),  # by which it leaves
    Column("to", Sealed("outbox.to")),  # where, if not to where the person is reached now
    Column("facts", SealedJson("outbox.facts"), nullable=False, default=dict),  # what stands nowhere else; no secrets
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", Instant, nullable=False),  # a claim moves it on, so that a crashed sender's notice comes back
    Column("created_at", Instant, nullable=False),
    Index(None, "status", "way", "due_at"),
    Index(None, "user_id", "kind", "created_at"),
    Index("ix_outbox_challenge_id", "challenge_id", sqlite_where=_IS_LOGIN, postgresql_where=_IS_LOGIN),
    CheckConstraint("status IN ('waiting', 'sent', 'void')", name="status"),
)

replays = Table(
    "replays",
    metadata,
    Column("id", Id, primary_key=True),
    Column("scope", BigInteger, nullable=False),  # the acting user's id, 0 before log-in
    Column("key", String(255), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("outcome", Sealed("replays.outcome"), nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("scope", "key"),
)

authenticators = Table(
    "authenticators",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True, autoincrement=False),
    Column("secret", Sealed("authenticators.secret"), nullable=False),
    Column("status", String(8), nullable=False),
    Column("last_step", BigInteger, nullable=False),  # of the last code taken: none of it or before is taken again
    Column("created_at", Instant, nullable=False),
    CheckConstraint("status IN ('pending', 'active')", name="status"),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False, index=True),
    Column("salt", LargeBinary(16), nullable=False),
    Column("code_hash", LargeBinary(32), nullable=False),
    Column("used_at", Instant),
)

passwords = Table(
    "passwords",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True, autoincrement=False),
    Column("hash", String(255), nullable=False),  # argon2id with its own salt and figures
    Column("changed_at", Instant, nullable=False),
)

# What opens a one-time page: its token is known to nobody but who holds the link.
tickets = Table(
    "tickets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False, index=True),
    Column("purpose", String(24), nullable=False),
    Column("order_id", Id, ForeignKey("orders.id")),
    Column("token_hash", LargeBinary(32), nullable=False, unique=True),
    Column("tries", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    CheckConstraint("tries BETWEEN 0 AND 5", name="tries"),
)

# The doors and devices that a person has logged in at.
bindings = Table(
    "bindings",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("channel", String(32), nullable=False),
    Column("address", Sealed("bindings.address"), nullable=False),
    _index_of("address_index", nullable=False),
    Column("label", Sealed("bindings.label"), nullable=False),
    Column("status", String(8), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    UniqueConstraint("user_id", "channel", "address_index"),
    Index(None, "channel", "address_index"),
    CheckConstraint("status IN ('active', 'removed')", name="status"),
)

# What the risk rules said of a proposal, and why; kept whether an order came of it or not.
decisions = Table(
    "decisions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False, index=True),
    Column("order_id", Id, ForeignKey("orders.id"), index=True),
    Column("verdict", String(8), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    CheckConstraint("verdict IN ('allow', 'warn', 'delay', 'refuse')", name="verdict"),
)

surname_checks = Table(
    "surname_checks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("payee_id", Id, ForeignKey("users.id"), nullable=False),
    Column("day", Integer, nullable=False),  # yyyymmdd in Asia/Shanghai
    Column("wrong", Integer, nullable=False),
    UniqueConstraint("user_id", "payee_id", "day"),
)

# Who saw what of a person unmasked, and why.
reveals = Table(
    "reveals",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False, index=True),
    Column("actor", String(64), nullable=False),
    Column("field", String(16), nullable=False),
    Column("reason", Sealed("reveals.reason"), nullable=False),
    Column("at", Instant, nullable=False),
)
