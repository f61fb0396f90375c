"""What budgets and runs need: charges know their windows, runs, users and tags; adjustments, runs, learned state.

A migration is history: it repeats what the tables were and never imports `gateway.journal.tables`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
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
# Older charges counted in no budget: they count from when they were settled, and belong to what their request said.
_RUN_PATH = """
  CASE WHEN r.run IS NULL THEN ''
       WHEN r.parent_run IS NULL OR r.parent_run = r.run THEN r.agent || '/' || r.run
       ELSE r.agent || '/' || r.parent_run || '>' || r.agent || '/' || r.run END"""
_ROOT_RUN = "CASE WHEN r.run IS NOT NULL THEN r.agent || '/' || coalesce(r.parent_run, r.run) END"
_COPY = f"""
INSERT INTO charges
SELECT old.*, {_RUN_PATH}, {_ROOT_RUN}, r.end_user, coalesce(r.tags, '{{}}'), old.at_us, 'settled', 0, NULL
FROM charges_old old LEFT JOIN requests r ON r.request_id = old.request_id
"""  # noqa: S608 -- made of this file's own words
_FILL = (
    "UPDATE charges SET run_path = '', tags = '{}', window_at_us = at_us, resolution = 'settled', "
    "reserved_nano_usd = 0",
    f"UPDATE charges SET run_path = {_RUN_PATH}, root_run = {_ROOT_RUN}, end_user = r.end_user, tags = r.tags "  # noqa: S608 -- as above
    "FROM requests r WHERE r.request_id = charges.request_id",
)


def upgrade() -> None:
    """Give charges their new columns, keys their run, and make the new tables."""
    if op.get_bind().dialect.name == "postgresql":
        _alter_tables()
    else:
        _replace_tables()
    op.create_index("charges_by_window", "charges", ["window_at_us"])
    own = sa.text("own_window_at_us IS NOT NULL")
    op.create_index("charges_by_own_window", "charges", ["own_window_at_us"], sqlite_where=own, postgresql_where=own)
    op.create_index("charges_by_agent", "charges", ["agent", "window_at_us"])
    op.create_index("charges_by_run", "charges", ["root_run"], sqlite_where=sa.text("root_run IS NOT NULL"))
    op.create_index("run_keys_by_end", "keys", ["expires_at_us"], sqlite_where=sa.text("run IS NOT NULL"))
    _ledger_tables()
    _process_tables()
    _immutable("charges")
    _immutable("adjustments")


def downgrade() -> None:
    """Adjustments would be lost, and with them what budgets have been told."""
    raise NotImplementedError("this migration cannot be undone: it would drop entries of the ledger")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _new_columns() -> list[sa.Column[Any]]:
    return [
        _text("run_path"),
        sa.Column("root_run", sa.Text),
        sa.Column("end_user", sa.Text),
        _text("tags"),
        _integer("window_at_us"),
        _text("resolution"),
        _integer("reserved_nano_usd"),
        sa.Column("own_window_at_us", sa.BigInteger),
    ]


def _alter_tables() -> None:
    op.add_column("keys", sa.Column("run", sa.Text))
    required = [column.name for column in _new_columns() if not column.nullable]
    for column in _new_columns():
        column.nullable = True
        op.add_column("charges", column)
    for statement in _FILL:
        op.execute(statement)
    for name in required:
        op.alter_column("charges", name, nullable=False)
    op.drop_index("charges_by_agent", "charges")


def _replace_tables() -> None:
    """SQLite cannot add a column that is never null; its tables are made anew, and come out like a new journal's."""
    op.rename_table("charges", "charges_old")
    _charges()
    op.execute(_COPY)
    op.drop_table("charges_old")
    op.create_index("charges_by_time", "charges", ["at_us"])
    op.create_index("charges_by_request", "charges", ["request_id"])
    op.rename_table("keys", "keys_old")
    _keys()
    op.execute("INSERT INTO keys SELECT keys_old.*, NULL FROM keys_old")
    op.drop_table("keys_old")


def _charges() -> None:
    op.create_table(
        "charges",
        sa.Column("charge_id", sa.Text, primary_key=True, nullable=False),
        _text("request_id"),
        sa.Column("attempt", sa.Integer, nullable=False),
        _integer("at_us"),
        *map(_text, ("org", "team", "agent", "model", "deployment", "provider", "upstream_model")),
        *map(_integer, _USAGE),
        *map(_text, ("price_point", "service_tier")),
        _integer("cost_nano_usd"),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("unpriced", sa.Boolean, nullable=False),
        *map(_text, ("outcome", "purpose")),
        sa.Column("upstream_status", sa.Integer),
        sa.Column("latency_ms", sa.Float, nullable=False),
        sa.Column("first_token_ms", sa.Float),
        *_new_columns(),
    )


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
        *map(_text, ("agent", "name")),
        sa.Column("allowed_models", sa.Text),
        _integer("created_at_us"),
        sa.Column("expires_at_us", sa.BigInteger),
        sa.Column("revoked_at_us", sa.BigInteger),
        sa.Column("revision", sa.BigInteger, nullable=False, unique=True),
        sa.Column("run", sa.Text),
    )


def _ledger_tables() -> None:
    op.create_table(
        "adjustments",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        _integer("at_us"),
        *map(_text, ("budget", "value")),
        *map(_integer, ("window_at_us", "amount_nano_usd")),
        *map(_text, ("reason", "actor")),
    )
    op.create_index("adjustments_by_budget", "adjustments", ["budget", "window_at_us"])
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("parent", sa.Text),
        *map(_text, ("path", "org", "agent", "limits")),
        *map(_integer, ("opened_at_us", "closes_at_us", "carve_nano_usd")),
        *map(_text, ("state", "reason")),
        _integer("changed_at_us"),
    )
    op.create_index("runs_by_change", "runs", ["changed_at_us"])


def _process_tables() -> None:
    op.create_table(
        "learned",
        *(sa.Column(name, sa.Text, primary_key=True, nullable=False) for name in ("kind", "agent", "model")),
        sa.Column("state", sa.LargeBinary, nullable=False),
        _integer("updated_at_us"),
    )
    op.create_table(
        "gateways",
        sa.Column("owner", sa.Text, primary_key=True, nullable=False),
        *map(_integer, ("started_at_us", "heartbeat_at_us", "epoch")),
    )
    op.create_table(
        "reservations",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        _text("owner"),
        _integer("at_us"),
        *map(_text, ("state", "reserved", "origin")),
    )
    op.create_index("reservations_by_owner", "reservations", ["owner"])
    op.create_table(
        "stores",
        sa.Column("installation", sa.Text, primary_key=True, nullable=False),
        _integer("epoch"),
        sa.Column("ready", sa.Boolean, nullable=False),
        _text("server"),
        *map(_integer, ("drained_epoch", "drained_seq")),
    )


def _immutable(table: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {table}_are_immutable() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} are immutable' USING ERRCODE = 'restrict_violation'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_are_immutable()"
        )
        return
    for verb in ("update", "delete"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} are immutable'); END"
        )
