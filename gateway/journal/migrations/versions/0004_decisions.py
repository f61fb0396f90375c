"""What a policy decided for a request. Older rows, and those that no policy decided, have none.

A migration is history: it repeats what the tables were and never imports `gateway.journal.tables`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Two columns without a value: no database writes its rows again for them."""
    for name in ("policy", "decision"):
        op.add_column("requests", sa.Column(name, sa.Text))


def downgrade() -> None:
    """What was decided is lost; what it cost is not."""
    for name in ("decision", "policy"):
        op.drop_column("requests", name)
