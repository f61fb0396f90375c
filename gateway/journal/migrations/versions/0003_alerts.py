"""Which alerts of budgets have been told, and what ends replaced keys had before their overlap.

A migration is history: it repeats what the tables were and never imports `gateway.journal.tables`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make both tables; none of the others changes."""
    op.create_table(
        "alerts",
        *(sa.Column(name, sa.Text, primary_key=True, nullable=False) for name in ("budget", "value", "period")),
        sa.Column("share_ppm", sa.BigInteger, primary_key=True, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "key_overlaps",
        sa.Column("key_id", sa.Text, primary_key=True, nullable=False),
        sa.Column("expires_at_us", sa.BigInteger),
    )


def downgrade() -> None:
    """What is lost is told again."""
    op.drop_table("key_overlaps")
    op.drop_table("alerts")
