"""The first journal: requests, charges, contents and keys.

A migration is history: it repeats what the tables were and never imports `gateway.journal.tables`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

_USAGE = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "cache_read_audio_tokens",
    "input_image_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "reasoning_tokens",
)


def upgrade() -> None:
    """Make the tables, their indexes, and the triggers that keep charges as they are."""
    _requests()
    _charges()
    op.create_table(
        "contents",
        sa.Column("request_id", sa.Text, primary_key=True, nullable=False),
        sa.Column("request_body", sa.LargeBinary, nullable=False),
        sa.Column("answer_body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
        _text("agent"),
        _text("name"),
        sa.Column("allowed_models", sa.Text),
        _integer("created_at_us"),
        sa.Column("expires_at_us", sa.BigInteger),
        sa.Column("revoked_at_us", sa.BigInteger),
        sa.Column("revision", sa.BigInteger, nullable=False, unique=True),
    )


def downgrade() -> None:
    """There is nothing before the first journal, and dropping a ledger is no migration."""
    raise NotImplementedError("the first migration cannot be undone: it would drop every charge")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("request_id", sa.Text, primary_key=True, nullable=False),
        _integer("at_us"),
        _text("org"),
        _text("team"),
        _text("agent"),
        _text("key_id"),
        sa.Column("run", sa.Text),
        sa.Column("parent_run", sa.Text),
        sa.Column("session", sa.Text),
        sa.Column("end_user", sa.Text),
        _text("tags"),
        sa.Column("value_nano_usd", sa.BigInteger),
        sa.Column("sdk", sa.Text),
        _text("endpoint"),
        _text("model"),
        sa.Column("profile", sa.Text),
        _text("deployment"),
        _text("provider"),
        _text("rule"),
        _text("outcome"),
        sa.Column("status", sa.Integer, nullable=False),
        _text("error_code"),
        sa.Column("latency_ms", sa.Float, nullable=False),
        sa.Column("first_token_ms", sa.Float),
        sa.Column("overhead_ms", sa.Float, nullable=False),
        sa.Column("streamed", sa.Boolean, nullable=False),
        _integer("cost_nano_usd"),
    )
    op.create_index("requests_by_agent", "requests", ["agent", "at_us"])
    with_run = sa.text("run IS NOT NULL")
    op.create_index("requests_by_run", "requests", ["run"], sqlite_where=with_run)


def _charges() -> None:
    op.create_table(
        "charges",
        sa.Column("charge_id", sa.Text, primary_key=True, nullable=False),
        _text("request_id"),
        sa.Column("attempt", sa.Integer, nullable=False),
        _integer("at_us"),
        _text("org"),
        _text("team"),
        _text("agent"),
        _text("model"),
        _text("deployment"),
        _text("provider"),
        _text("upstream_model"),
        *map(_integer, _USAGE),
        _text("price_point"),
        _text("service_tier"),
        _integer("cost_nano_usd"),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("unpriced", sa.Boolean, nullable=False),
        _text("outcome"),
        _text("purpose"),
        sa.Column("upstream_status", sa.Integer),
        sa.Column("latency_ms", sa.Float, nullable=False),
        sa.Column("first_token_ms", sa.Float),
    )
    op.create_index("charges_by_time", "charges", ["at_us"])
    op.create_index("charges_by_agent", "charges", ["agent", "at_us"])
    op.create_index("charges_by_request", "charges", ["request_id"])
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER charges_no_{verb} BEFORE {verb.upper()} ON charges "
                "BEGIN SELECT RAISE(ABORT, 'charges are immutable'); END"
            )
