"""What lets a statement that was decided on rows as they were fail whole unless all of them still are so (PostgreSQL)."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        return
    op.execute(
        "CREATE FUNCTION wallet_unchanged(unchanged bigint, wanted bigint) RETURNS boolean LANGUAGE plpgsql AS "
        "$$ BEGIN IF unchanged = wanted THEN RETURN true; END IF; "
        "RAISE EXCEPTION 'a row has changed' USING ERRCODE = 'serialization_failure'; END $$"
    )
