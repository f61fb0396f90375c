"""Responses and conversations that clients come back to.

A migration is history: it repeats what the tables were and never imports `gateway.journal.tables`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Three tables; none of the others changes."""
    op.create_table(
        "responses",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        *map(_text, ("org", "team", "agent", "key_id")),
        sa.Column("end_user", sa.Text),
        _text("request_id"),
        *map(_integer, ("created_at_us", "expires_at_us", "bytes")),
        _text("status"),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("background", "native")),
        *map(_text, ("model", "deployment")),
        *(sa.Column(name, sa.Text) for name in ("previous_id", "conversation")),
        *map(_integer, ("conversation_items", "input_tokens", "output_tokens")),
        sa.Column("owner", sa.Text),
        _integer("alive_until_us"),
        *(sa.Column(name, sa.LargeBinary, nullable=False) for name in ("input", "body")),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        *map(_text, ("org", "team", "agent", "key_id")),
        sa.Column("end_user", sa.Text),
        *map(_integer, ("created_at_us", "expires_at_us", "bytes", "items", "tokens")),
        _text("metadata"),
    )
    op.create_table(
        "conversation_items",
        sa.Column("conversation", sa.Text, primary_key=True, nullable=False),
        sa.Column("position", sa.BigInteger, primary_key=True, nullable=False),
        _text("id"),
        sa.Column("item", sa.LargeBinary, nullable=False),
    )
    op.create_index("responses_by_age", "responses", ["expires_at_us", "bytes"])
    for column in ("owner", "end_user"):
        name = f"responses_by_{column.removeprefix('end_')}"
        op.create_index(name, "responses", [column], sqlite_where=sa.text(f"{column} IS NOT NULL"))
    op.create_index("conversations_by_age", "conversations", ["expires_at_us", "bytes"])
    op.create_index("conversation_items_by_id", "conversation_items", ["conversation", "id"], unique=True)


def downgrade() -> None:
    """Clients cannot follow up on what is lost with them."""
    for table in ("conversation_items", "conversations", "responses"):
        op.drop_table(table)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)
