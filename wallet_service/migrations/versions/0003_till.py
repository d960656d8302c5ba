"""The first tables: people, accounts, orders, ledger, chain, factors, doors, notices; and the triggers that guard them.

Databases from before the first release (versions 0001 and 0002, with phones in clear) are not carried over.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# What was written down stays; an order's status only moves forward, and what it says is fixed once it is written.
_APPEND_ONLY = ("entries", "links", "decisions", "reveals", "account_events")
_FIXED = (
    "kind", "actor_id", "payer_id", "payee_id", "amount", "fee", "method", "card_id", "bill_id", "refunds_id",
    "nonce", "created_at", "outside", "delay",
)  # fmt: skip
# The sealed text of a row that may not change may be sealed again, under a newer data key (whose id is in the first five bytes).
_SEALED = {
    "orders": ("note", _FIXED),
    "reveals": ("reason", ("id", "user_id", "actor", "field", "at")),
    "account_events": ("facts", ("id", "user_id", "kind", "by", "at")),
}
_FIXED_ONCE_POSTED = (
    "posted_amount",
    "posted_at",
    "receipt_no",
    "code_hash",
    "authorised_at",
    "delay",
    "spent_day",
    "outside_no",
)
_NEXT = {
    "proposed": ("authorised", "posted", "expired", "cancelled", "refused"),
    "authorised": ("posted", "voided", "expired"),
}


def _changed(table: str, differs: str) -> str:
    sealed, fixed = _SEALED[table]
    # what was empty has no head to compare: never true
    newer = f"substr(NEW.{sealed}, 1, 1) = substr(OLD.{sealed}, 1, 1) AND substr(NEW.{sealed}, 1, 5) > substr(OLD.{sealed}, 1, 5)"
    changed = [f"OLD.{column} {differs} NEW.{column}" for column in fixed]
    return " OR ".join([*changed, f"(OLD.{sealed} {differs} NEW.{sealed} AND ({newer}) IS NOT TRUE)"])


def _illegal_change(differs: str) -> str:
    moves = " OR ".join(
        f"(OLD.status = '{status}' AND NEW.status IN ({', '.join(repr(name) for name in then)}))"
        for status, then in _NEXT.items()
    )
    late = " OR ".join(f"OLD.{column} {differs} NEW.{column}" for column in _FIXED_ONCE_POSTED)
    return (
        f"NOT (OLD.status = NEW.status OR {moves}) OR {_changed('orders', differs)} OR NEW.refunded < OLD.refunded "
        f"OR (OLD.status = 'posted' AND ({late})) OR (OLD.outside_no IS NOT NULL AND OLD.outside_no {differs} NEW.outside_no)"
    )


def _guard_sqlite() -> None:
    for table in _APPEND_ONLY:
        for event in ("UPDATE", "DELETE"):
            when = f"WHEN {_changed(table, 'IS NOT')} " if event == "UPDATE" and table in _SEALED else ""
            op.execute(
                f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} {when}"
                f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
            )
    op.execute(
        f"CREATE TRIGGER orders_guard BEFORE UPDATE ON orders WHEN {_illegal_change('IS NOT')} "
        "BEGIN SELECT RAISE(ABORT, 'an order cannot change like this'); END"
    )
    op.execute("CREATE TRIGGER orders_no_delete BEFORE DELETE ON orders BEGIN SELECT RAISE(ABORT, 'orders are kept'); END")


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION wallet_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% of % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; "
        "END $$"
    )
    for table in _APPEND_ONLY:
        for event in ("UPDATE", "DELETE"):
            when = f"WHEN ({_changed(table, 'IS DISTINCT FROM')}) " if event == "UPDATE" and table in _SEALED else ""
            op.execute(
                f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} FOR EACH ROW {when}"
                "EXECUTE FUNCTION wallet_refuse()"
            )
    op.execute(
        f"CREATE TRIGGER orders_guard BEFORE UPDATE ON orders FOR EACH ROW WHEN ({_illegal_change('IS DISTINCT FROM')}) "
        "EXECUTE FUNCTION wallet_refuse()"
    )
    op.execute("CREATE TRIGGER orders_no_delete BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION wallet_refuse()")


def upgrade() -> None:
    op.create_table(
        "chain_head",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("watermark", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("signature", sa.LargeBinary(length=32), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_chain_head_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_head")),
    )
    op.create_table(
        "data_keys",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(length=60), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_from", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_keys")),
    )
    op.create_table(
        "replays",
        sa.Column("id", ID, nullable=False),
        sa.Column("scope", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("outcome", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
        sa.UniqueConstraint("scope", "key", name=op.f("uq_replays_scope_key")),
    )
    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("phone", sa.LargeBinary(), nullable=False),
        sa.Column("phone_index", sa.LargeBinary(length=32), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("id_number", sa.LargeBinary(), nullable=True),
        sa.Column("id_index", sa.LargeBinary(length=32), nullable=True),
        sa.Column("email", sa.LargeBinary(), nullable=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("frozen_by", sa.String(length=16), server_default="", nullable=False),
        sa.Column("closes_at", sa.BigInteger(), nullable=True),
        sa.Column("exported_at", sa.BigInteger(), nullable=True),
        sa.Column("default_city", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("wrong_codes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("wrong_seconds", sa.Integer(), server_default="0", nullable=False),
        sa.Column("locked_until", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("frozen_by IN ('', 'owner', 'risk', 'agent')", name=op.f("ck_users_frozen_by")),
        sa.CheckConstraint("status IN ('active', 'frozen', 'closing', 'closed')", name=op.f("ck_users_status")),
        sa.CheckConstraint("level BETWEEN 1 AND 4", name=op.f("ck_users_level")),
        sa.CheckConstraint("(status = 'closing') = (closes_at IS NOT NULL)", name=op.f("ck_users_closes_at")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("id_index", name=op.f("uq_users_id_index")),
        sa.UniqueConstraint("phone_index", name=op.f("uq_users_phone_index")),
    )
    op.create_index(
        "ix_users_closing",
        "users",
        ["closes_at"],
        sqlite_where=sa.text("status = 'closing'"),
        postgresql_where=sa.text("status = 'closing'"),
    )
    op.create_table(
        "account_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_account_events_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_events")),
    )
    op.create_index(op.f("ix_account_events_user_id_kind_at"), "account_events", ["user_id", "kind", "at"], unique=False)
    op.create_table(
        "accounts",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("city", sa.String(length=32), nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("number", sa.String(length=13), nullable=True),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("incoming", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("day_spent", sa.BigInteger(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("year_spent", sa.BigInteger(), nullable=False),
        sa.Column("static_spent", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("quota_period", sa.Integer(), server_default="0", nullable=False),
        sa.Column("quota_used", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("(kind = 'wallet') = (user_id IS NOT NULL)", name=op.f("ck_accounts_owner")),
        sa.CheckConstraint("kind IN ('clearing', 'promotions') OR balance >= held", name=op.f("ck_accounts_no_overdraft")),
        sa.CheckConstraint(
            "kind IN ('wallet', 'merchant', 'biller', 'clearing', 'fees', 'promotions', 'settlement')",
            name=op.f("ck_accounts_kind"),
        ),
        sa.CheckConstraint("held >= 0", name=op.f("ck_accounts_held")),
        sa.CheckConstraint("incoming >= 0", name=op.f("ck_accounts_incoming")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_accounts_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("number", name=op.f("uq_accounts_number")),
        sa.UniqueConstraint("user_id", "city", name=op.f("uq_accounts_user_id_city")),
    )
    op.create_index(
        "uq_accounts_system",
        "accounts",
        ["kind", "city"],
        unique=True,
        sqlite_where=sa.text("kind IN ('clearing', 'fees', 'promotions', 'settlement')"),
        postgresql_where=sa.text("kind IN ('clearing', 'fees', 'promotions', 'settlement')"),
    )
    op.create_table(
        "authenticators",
        sa.Column("user_id", ID, autoincrement=False, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('pending', 'active')", name=op.f("ck_authenticators_status")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_authenticators_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_authenticators")),
    )
    op.create_table(
        "bindings",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("address_index", sa.LargeBinary(length=32), nullable=False),
        sa.Column("label", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'removed')", name=op.f("ck_bindings_status")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_bindings_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bindings")),
        sa.UniqueConstraint("user_id", "channel", "address_index", name=op.f("uq_bindings_user_id_channel_address_index")),
    )
    op.create_index(op.f("ix_bindings_channel_address_index"), "bindings", ["channel", "address_index"], unique=False)
    op.create_table(
        "cards",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("number", sa.LargeBinary(), nullable=False),
        sa.Column("number_index", sa.LargeBinary(length=32), nullable=False),
        sa.Column("bank", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('debit', 'credit')", name=op.f("ck_cards_kind")),
        sa.CheckConstraint("status IN ('bound', 'unbound')", name=op.f("ck_cards_status")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_cards_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cards")),
        sa.UniqueConstraint("user_id", "number_index", name=op.f("uq_cards_user_id_number_index")),
    )
    op.create_table(
        "challenges",
        sa.Column("id", ID, nullable=False),
        sa.Column("phone", sa.LargeBinary(), nullable=False),
        sa.Column("phone_index", sa.LargeBinary(length=32), nullable=False),
        sa.Column("door_index", sa.LargeBinary(length=32), nullable=True),
        sa.Column("purpose", sa.String(length=16), server_default="login", nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=16), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('open', 'proven', 'used', 'locked')", name=op.f("ck_challenges_status")),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("ck_challenges_tries")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_challenges_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_challenges")),
    )
    op.create_index(op.f("ix_challenges_phone_index_created_at"), "challenges", ["phone_index", "created_at"], unique=False)
    op.create_index(op.f("ix_challenges_door_index_created_at"), "challenges", ["door_index", "created_at"], unique=False)
    op.create_table(
        "contacts",
        sa.Column("id", ID, nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_contacts_owner_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_contacts_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contacts")),
        sa.UniqueConstraint("owner_id", "user_id", name=op.f("uq_contacts_owner_id_user_id")),
    )
    op.create_table(
        "passwords",
        sa.Column("user_id", ID, autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=255), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_passwords_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_passwords")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("salt", sa.LargeBinary(length=16), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_recovery_codes_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
    )
    op.create_index(op.f("ix_recovery_codes_user_id"), "recovery_codes", ["user_id"], unique=False)
    op.create_table(
        "reveals",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("field", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_reveals_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reveals")),
    )
    op.create_index(op.f("ix_reveals_user_id"), "reveals", ["user_id"], unique=False)
    op.create_table(
        "surname_checks",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("payee_id", ID, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["payee_id"], ["users.id"], name=op.f("fk_surname_checks_payee_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_surname_checks_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_surname_checks")),
        sa.UniqueConstraint("user_id", "payee_id", "day", name=op.f("uq_surname_checks_user_id_payee_id_day")),
    )
    op.create_table(
        "billers",
        sa.Column("id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("service", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_billers_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billers")),
        sa.UniqueConstraint("account_id", name=op.f("uq_billers_account_id")),
    )
    op.create_table(
        "bills",
        sa.Column("id", ID, nullable=False),
        sa.Column("biller_id", ID, nullable=False),
        sa.Column("customer_no", sa.LargeBinary(), nullable=False),
        sa.Column("customer_index", sa.LargeBinary(length=32), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_bills_amount")),
        sa.ForeignKeyConstraint(["biller_id"], ["billers.id"], name=op.f("fk_bills_biller_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bills")),
        sa.UniqueConstraint("biller_id", "customer_index", "month", name=op.f("uq_bills_biller_id_customer_index_month")),
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("biller_id", ID, nullable=False),
        sa.Column("customer_no", sa.LargeBinary(), nullable=False),
        sa.Column("customer_index", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(["biller_id"], ["billers.id"], name=op.f("fk_subscriptions_biller_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_subscriptions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint(
            "user_id", "biller_id", "customer_index", name=op.f("uq_subscriptions_user_id_biller_id_customer_index")
        ),
    )
    op.create_table(
        "orders",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("actor_id", ID, nullable=True),
        sa.Column("payer_id", ID, nullable=False),
        sa.Column("payee_id", ID, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("method", sa.String(length=12), server_default="balance", nullable=False),
        sa.Column("card_id", ID, nullable=True),
        sa.Column("bill_id", ID, nullable=True),
        sa.Column("refunds_id", ID, nullable=True),
        sa.Column("refunded", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("delay", sa.Integer(), server_default="0", nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=16), nullable=False),
        sa.Column("counter", sa.Integer(), server_default="0", nullable=False),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("second", sa.String(length=8), server_default="", nullable=False),
        sa.Column("warnings", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("refusal", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("authorised_at", sa.BigInteger(), nullable=True),
        sa.Column("spent_day", sa.Integer(), server_default="0", nullable=False),
        sa.Column("quota_used", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("quota_period", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("outside", sa.String(length=8), server_default="", nullable=False),
        sa.Column("outside_no", sa.String(length=32), nullable=True),
        sa.Column("outside_state", sa.String(length=8), server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("posted_at", sa.BigInteger(), nullable=True),
        sa.Column("posted_amount", sa.BigInteger(), nullable=True),
        sa.Column("receipt_no", sa.String(length=32), nullable=True),
        sa.CheckConstraint("(kind = 'refund') = (refunds_id IS NOT NULL)", name=op.f("ck_orders_refunds")),
        sa.CheckConstraint(
            "(outside = '') = (outside_state = '') AND (outside = '') = (outside_no IS NULL)", name=op.f("ck_orders_outside_no")
        ),
        sa.CheckConstraint("(status = 'posted') = (posted_at IS NOT NULL)", name=op.f("ck_orders_posted_at")),
        sa.CheckConstraint(
            "kind IN ('transfer', 'pay', 'top_up', 'withdraw', 'bill', 'refund', 'settle')", name=op.f("ck_orders_kind")
        ),
        sa.CheckConstraint(
            "method IN ('balance', 'static', 'dynamic', 'code', 'debit_card', 'credit_card', 'third_party', 'counter')",
            name=op.f("ck_orders_method"),
        ),
        sa.CheckConstraint("outside IN ('', 'bank', 'biller')", name=op.f("ck_orders_outside")),
        sa.CheckConstraint(
            "outside_state IN ('', 'waiting', 'unknown', 'done', 'refused')", name=op.f("ck_orders_outside_state")
        ),
        sa.CheckConstraint("second IN ('', 'needed', 'proven')", name=op.f("ck_orders_second")),
        sa.CheckConstraint(
            "status IN ('proposed', 'authorised', 'posted', 'voided', 'expired', 'cancelled', 'refused')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint(
            "(posted_amount IS NULL) = (posted_at IS NULL) AND posted_amount BETWEEN 1 AND amount",
            name=op.f("ck_orders_posted_amount"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_orders_amount")),
        sa.CheckConstraint("delay >= 0", name=op.f("ck_orders_delay")),
        sa.CheckConstraint("fee >= 0", name=op.f("ck_orders_fee")),
        sa.CheckConstraint("payer_id <> payee_id", name=op.f("ck_orders_two_accounts")),
        sa.CheckConstraint("quota_used BETWEEN 0 AND amount", name=op.f("ck_orders_quota_used")),
        sa.CheckConstraint("refunded BETWEEN 0 AND COALESCE(posted_amount, 0)", name=op.f("ck_orders_refunded")),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("ck_orders_tries")),
        sa.ForeignKeyConstraint(["actor_id"], ["users.id"], name=op.f("fk_orders_actor_id")),
        sa.ForeignKeyConstraint(["bill_id"], ["bills.id"], name=op.f("fk_orders_bill_id")),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_orders_card_id")),
        sa.ForeignKeyConstraint(["payee_id"], ["accounts.id"], name=op.f("fk_orders_payee_id")),
        sa.ForeignKeyConstraint(["payer_id"], ["accounts.id"], name=op.f("fk_orders_payer_id")),
        sa.ForeignKeyConstraint(["refunds_id"], ["orders.id"], name=op.f("fk_orders_refunds_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("receipt_no", name=op.f("uq_orders_receipt_no")),
    )
    op.create_index(op.f("ix_orders_actor_id_id"), "orders", ["actor_id", "id"], unique=False)
    op.create_index(
        "ix_orders_authorised",
        "orders",
        ["payer_id"],
        unique=False,
        sqlite_where=sa.text("status = 'authorised'"),
        postgresql_where=sa.text("status = 'authorised'"),
    )
    op.create_index(
        "ix_orders_due",
        "orders",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("status = 'authorised'"),
        postgresql_where=sa.text("status = 'authorised'"),
    )
    op.create_index(
        "ix_orders_refunds_id",
        "orders",
        ["refunds_id"],
        unique=False,
        sqlite_where=sa.text("refunds_id IS NOT NULL"),
        postgresql_where=sa.text("refunds_id IS NOT NULL"),
    )
    op.create_index(
        "uq_orders_outside_no",
        "orders",
        ["outside_no"],
        unique=True,
        sqlite_where=sa.text("outside_no IS NOT NULL"),
        postgresql_where=sa.text("outside_no IS NOT NULL"),
    )
    op.create_index(
        "uq_orders_bill",
        "orders",
        ["bill_id"],
        unique=True,
        sqlite_where=sa.text("bill_id IS NOT NULL AND status IN ('authorised', 'posted')"),
        postgresql_where=sa.text("bill_id IS NOT NULL AND status IN ('authorised', 'posted')"),
    )
    op.create_table(
        "decisions",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("order_id", ID, nullable=True),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("verdict IN ('allow', 'warn', 'delay', 'refuse')", name=op.f("ck_decisions_verdict")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_decisions_order_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_decisions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_order_id"), "decisions", ["order_id"], unique=False)
    op.create_index(op.f("ix_decisions_user_id"), "decisions", ["user_id"], unique=False)
    op.create_table(
        "entries",
        sa.Column("id", ID, nullable=False),
        sa.Column("order_id", ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("debit_id", ID, nullable=False),
        sa.Column("credit_id", ID, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("debit_balance", sa.BigInteger(), nullable=False),
        sa.Column("credit_balance", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_entries_amount")),
        sa.CheckConstraint("debit_id <> credit_id", name=op.f("ck_entries_two_accounts")),
        sa.ForeignKeyConstraint(["credit_id"], ["accounts.id"], name=op.f("fk_entries_credit_id")),
        sa.ForeignKeyConstraint(["debit_id"], ["accounts.id"], name=op.f("fk_entries_debit_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_entries_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entries")),
        sa.UniqueConstraint("order_id", "kind", name=op.f("uq_entries_order_id_kind")),
    )
    op.create_index(op.f("ix_entries_credit_id_id"), "entries", ["credit_id", "id"], unique=False)
    op.create_index(op.f("ix_entries_debit_id_id"), "entries", ["debit_id", "id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("order_id", ID, nullable=True),
        sa.Column("challenge_id", ID, nullable=True),
        sa.Column("counter", sa.Integer(), server_default="0", nullable=False),
        sa.Column("way", sa.String(length=8), server_default="all", nullable=False),
        sa.Column("to", sa.LargeBinary(), nullable=True),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('waiting', 'sent', 'void')", name=op.f("ck_outbox_status")),
        sa.ForeignKeyConstraint(["challenge_id"], ["challenges.id"], name=op.f("fk_outbox_challenge_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_outbox_order_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_outbox_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_challenge_id",
        "outbox",
        ["challenge_id"],
        unique=False,
        sqlite_where=sa.text("challenge_id IS NOT NULL"),
        postgresql_where=sa.text("challenge_id IS NOT NULL"),
    )
    op.create_index(op.f("ix_outbox_status_way_due_at"), "outbox", ["status", "way", "due_at"], unique=False)
    op.create_index(op.f("ix_outbox_user_id_kind_created_at"), "outbox", ["user_id", "kind", "created_at"], unique=False)
    op.create_table(
        "tickets",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("purpose", sa.String(length=24), nullable=False),
        sa.Column("order_id", ID, nullable=True),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("ck_tickets_tries")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_tickets_order_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tickets_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tickets")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_tickets_token_hash")),
    )
    op.create_index(op.f("ix_tickets_user_id"), "tickets", ["user_id"], unique=False)
    op.create_table(
        "links",
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("entry_id", ID, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.id"], name=op.f("fk_links_entry_id")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_links")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_links_entry_id")),
    )

    if op.get_bind().dialect.name == "sqlite":
        _guard_sqlite()
    else:
        _guard_postgresql()
