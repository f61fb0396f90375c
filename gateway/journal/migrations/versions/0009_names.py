"""Names of entries by hand may go; what counters count under forgotten names; the rates of price points.

A migration is history: it repeats what the tables were and never imports `gateway.journal.tables`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels: str | None = None
depends_on: str | None = None

_FIXED = "id, at_us, budget, window_at_us, amount_nano_usd, actor"


def upgrade() -> None:
    """Two tables; of an entry by hand whose it was, and why, may change. Every amount stays."""
    op.create_table(
        "forgotten",
        sa.Column("digest", sa.Text, primary_key=True, nullable=False),
        sa.Column("name", sa.Text, primary_key=True, nullable=False),
        sa.Column("salt", sa.Text, nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "price_points",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("rates", sa.Text, primary_key=True, nullable=False),
        sa.Column("seen_at_us", sa.BigInteger, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER adjustments_no_update")
        op.execute(
            f"CREATE TRIGGER adjustments_no_update BEFORE UPDATE OF {_FIXED} ON adjustments "
            "BEGIN SELECT RAISE(ABORT, 'adjustments are immutable'); END"
        )
        return
    op.execute("DROP TRIGGER adjustments_immutable ON adjustments")
    op.execute(
        f"CREATE TRIGGER adjustments_immutable BEFORE UPDATE OF {_FIXED} OR DELETE OR TRUNCATE ON adjustments "
        "FOR EACH STATEMENT EXECUTE FUNCTION adjustments_are_immutable()"
    )


def downgrade() -> None:
    """Counters would differ from the journal, and amounts would lose their explanation."""
    raise NotImplementedError("this migration cannot be undone: counters would differ from the journal")
