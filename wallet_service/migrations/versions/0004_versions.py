"""PostgreSQL: a statement that was decided on rows as they were fails whole unless they still are; nothing kept is truncated."""

from alembic import op

revision = "0004"
down_revision = "0003"

_KEPT = ("entries", "links", "decisions", "reveals", "account_events", "orders", "chain_head")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION wallet_unchanged(unchanged bigint, wanted bigint) RETURNS boolean LANGUAGE plpgsql AS "
        "$$ BEGIN IF unchanged = wanted THEN RETURN true; END IF; "
        "RAISE EXCEPTION 'a row has changed' USING ERRCODE = 'serialization_failure'; END $$"
    )
    for table in _KEPT:
        op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION wallet_refuse()")
