"""The desk's tables: agents, their sessions, failed log-ins, handoffs, and the words that agents sent.

They stand in the conversations' metadata, for a handoff belongs to a conversation. Times are UTC milliseconds since 1970.
"""

from __future__ import annotations

import sqlalchemy as sa

from bot.dialogue.store import metadata as metadata
from wallet_service import SealedJson

agents = sa.Table(
    "agents",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(32), nullable=False, unique=True),
    sa.Column("password", sa.String(255), nullable=False),  # an argon2 hash
    sa.Column("role", sa.String(16), nullable=False),  # agent, reviewer, supervisor, admin
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
agent_sessions = sa.Table(
    "agent_sessions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("token", sa.String(64), nullable=False, unique=True),  # SHA-256 of what the browser holds
    sa.Column("agent_id", sa.ForeignKey("agents.id"), nullable=False, index=True),
    sa.Column("csrf", sa.String(64), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)
login_failures = sa.Table(
    "login_failures",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("subject", sa.LargeBinary(32), nullable=False, unique=True),  # blind index of a name, an address, or both
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("blocked_until", sa.BigInteger, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
handoffs = sa.Table(
    "handoffs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("conversation_id", sa.ForeignKey("conversations.id"), nullable=False, index=True),
    sa.Column("topic", sa.String(32), nullable=False),
    sa.Column("city", sa.String(32), nullable=False),
    sa.Column("reason", sa.String(32), nullable=False),
    sa.Column("context", SealedJson("handoffs.context"), nullable=False),  # masked: customer, flow, slots
    sa.Column("state", sa.String(8), nullable=False),  # waiting, held, closed
    sa.Column("ending", sa.String(8)),  # left, returned, ended: how a closed one came to its end
    sa.Column("agent_id", sa.ForeignKey("agents.id"), index=True),
    sa.Column("requested_at", sa.BigInteger, nullable=False),
    sa.Column("taken_at", sa.BigInteger),
    sa.Column("closed_at", sa.BigInteger),
)
open_handoff = handoffs.c.state != sa.literal_column("'closed'")
sa.Index(
    "handoffs_open",
    handoffs.c.conversation_id,
    unique=True,
    sqlite_where=open_handoff,
    postgresql_where=open_handoff,
)
said = sa.Table(
    "said",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("handoff_id", sa.ForeignKey("handoffs.id"), nullable=False),
    sa.Column("key", sa.String(64), nullable=False),  # made by the agent's page, so that a retry says nothing twice
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("handoff_id", "key"),
)
