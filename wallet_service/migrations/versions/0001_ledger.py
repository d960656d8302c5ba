"""The first tables: people, accounts, ledger, orders, chain, logins, notices; and the triggers that guard them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Entries and links never change; an order's status only moves forward, and what it says is fixed once it is written.
_FIXED = ("kind", "actor_id", "payer_id", "payee_id", "amount", "fee", "note", "nonce", "created_at")
_NEXT = {"proposed": ("authorised", "expired", "cancelled", "refused"), "authorised": ("posted",)}


def _illegal_change() -> str:
    moves = " OR ".join(
        f"(OLD.status = '{status}' AND NEW.status IN ({', '.join(repr(name) for name in then)}))"
        for status, then in _NEXT.items()
    )
    changed = " OR ".join(f"OLD.{column} <> NEW.{column}" for column in _FIXED)
    return f"NOT (OLD.status = NEW.status OR {moves}) OR {changed}"


def _guard_sqlite() -> None:
    for table in ("entries", "links"):
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
            )
    op.execute(
        f"CREATE TRIGGER orders_guard BEFORE UPDATE ON orders WHEN {_illegal_change()} "
        "BEGIN SELECT RAISE(ABORT, 'an order cannot change like this'); END"
    )
    op.execute("CREATE TRIGGER orders_no_delete BEFORE DELETE ON orders BEGIN SELECT RAISE(ABORT, 'orders are kept'); END")


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION wallet_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% of % is refused', TG_OP, TG_TABLE_NAME; END $$"
    )
    for table in ("entries", "links"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION wallet_refuse()"
        )
    op.execute(
        f"CREATE TRIGGER orders_guard BEFORE UPDATE ON orders FOR EACH ROW WHEN ({_illegal_change()}) "
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
        "challenges",
        sa.Column("id", ID, nullable=False),
        sa.Column("phone", sa.String(length=11), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=16), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('open', 'proven', 'used', 'locked')", name=op.f("ck_challenges_status")),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("ck_challenges_tries")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_challenges")),
    )
    op.create_index(op.f("ix_challenges_phone_created_at"), "challenges", ["phone", "created_at"], unique=False)
    op.create_table(
        "replays",
        sa.Column("id", ID, nullable=False),
        sa.Column("scope", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
        sa.UniqueConstraint("scope", "key", name=op.f("uq_replays_scope_key")),
    )
    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("phone", sa.String(length=11), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("default_city", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'frozen')", name=op.f("ck_users_status")),
        sa.CheckConstraint("level BETWEEN 1 AND 4", name=op.f("ck_users_level")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("phone", name=op.f("uq_users_phone")),
    )
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
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("day_spent", sa.BigInteger(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("year_spent", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(kind = 'wallet') = (user_id IS NOT NULL)", name=op.f("ck_accounts_owner")),
        sa.CheckConstraint("kind IN ('clearing', 'promotions') OR balance >= held", name=op.f("ck_accounts_no_overdraft")),
        sa.CheckConstraint(
            "kind IN ('wallet', 'merchant', 'biller', 'clearing', 'fees', 'promotions')", name=op.f("ck_accounts_kind")
        ),
        sa.CheckConstraint("held >= 0", name=op.f("ck_accounts_held")),
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
        sqlite_where=sa.text("kind IN ('clearing', 'fees', 'promotions')"),
        postgresql_where=sa.text("kind IN ('clearing', 'fees', 'promotions')"),
    )
    op.create_table(
        "contacts",
        sa.Column("id", ID, nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_contacts_owner_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_contacts_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contacts")),
        sa.UniqueConstraint("owner_id", "user_id", name=op.f("uq_contacts_owner_id_user_id")),
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
        "orders",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("payer_id", ID, nullable=False),
        sa.Column("payee_id", ID, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.String(length=100), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=16), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("refusal", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("authorised_at", sa.BigInteger(), nullable=True),
        sa.Column("posted_at", sa.BigInteger(), nullable=True),
        sa.Column("receipt_no", sa.String(length=32), nullable=True),
        sa.CheckConstraint("(status = 'posted') = (posted_at IS NOT NULL)", name=op.f("ck_orders_posted_at")),
        sa.CheckConstraint(
            "status IN ('proposed', 'authorised', 'posted', 'expired', 'cancelled', 'refused')", name=op.f("ck_orders_status")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_orders_amount")),
        sa.CheckConstraint("fee >= 0", name=op.f("ck_orders_fee")),
        sa.CheckConstraint("payer_id <> payee_id", name=op.f("ck_orders_two_accounts")),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("ck_orders_tries")),
        sa.ForeignKeyConstraint(["actor_id"], ["users.id"], name=op.f("fk_orders_actor_id")),
        sa.ForeignKeyConstraint(["payee_id"], ["accounts.id"], name=op.f("fk_orders_payee_id")),
        sa.ForeignKeyConstraint(["payer_id"], ["accounts.id"], name=op.f("fk_orders_payer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("receipt_no", name=op.f("uq_orders_receipt_no")),
    )
    op.create_table(
        "bills",
        sa.Column("id", ID, nullable=False),
        sa.Column("biller_id", ID, nullable=False),
        sa.Column("customer_no", sa.String(length=32), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_bills_amount")),
        sa.ForeignKeyConstraint(["biller_id"], ["billers.id"], name=op.f("fk_bills_biller_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bills")),
        sa.UniqueConstraint("biller_id", "customer_no", "month", name=op.f("uq_bills_biller_id_customer_no_month")),
    )
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
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('waiting', 'sent', 'void')", name=op.f("ck_outbox_status")),
        sa.ForeignKeyConstraint(["challenge_id"], ["challenges.id"], name=op.f("fk_outbox_challenge_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_outbox_order_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_outbox_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_status_due_at"), "outbox", ["status", "due_at"], unique=False)
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
