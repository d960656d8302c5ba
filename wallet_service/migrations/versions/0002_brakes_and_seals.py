"""Wrong codes are counted per person, codes sent can be counted quickly; and the ledger's seals cover more than before."""

import sqlalchemy as sa
from alembic import op

from wallet_service.errors import SchemaError

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    if op.get_bind().execute(sa.text("SELECT 1 FROM entries LIMIT 1")).first() is not None:
        raise SchemaError(
            "this ledger was sealed by a version before the first release, in a form that proves less than today's: "
            "keep it with that version, and start a new database with this one"
        )
    op.add_column("users", sa.Column("wrong_codes", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("users", sa.Column("locked_until", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_outbox_user_id_kind_created_at"), "outbox", ["user_id", "kind", "created_at"], unique=False)
    op.create_index(op.f("ix_outbox_challenge_id"), "outbox", ["challenge_id"], unique=False)
