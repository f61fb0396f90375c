"""What clients said of answers.

A migration is history: it repeats what the tables were and never imports `gateway.journal.tables`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """One table; none of the others changes."""
    op.create_table(
        "feedback",
        sa.Column("request_id", sa.Text, primary_key=True, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("agent", "model")),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("comment", sa.Text),
    )


def downgrade() -> None:
    """What was said is lost; what was learned from it is not."""
    op.drop_table("feedback")
