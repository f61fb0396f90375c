"""Fees: what a charge cost beside tokens, and for how many units; the daily roll-ups add them up.

A migration is history: it repeats what the tables were and never imports `gateway.journal.tables`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
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
_LABELS = ("run_path", "root_run", "end_user", "tags")
_CUT = ("model", "deployment", "upstream_model", "price_point")
_KEY = (
    *("org", "team", "agent", "model", "deployment", "provider", "upstream_model", "price_point", "service_tier"),
    *("purpose", "resolution", "estimated", "unpriced"),
)
_MOST = 2**63 - 1


def upgrade() -> None:
    """Three columns with a constant default, which no database writes its rows again for; the triggers know them."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table in ("charges", "daily"):
        op.add_column(table, sa.Column("fee_nano_usd", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("charges", sa.Column("units", sa.Text, nullable=False, server_default=""))
    _immutable(sqlite=sqlite)
    if sqlite:
        op.execute("DROP TRIGGER charges_roll_up")
        keys, sums = _columns("NEW.")
        values = ", ".join([*keys.values(), *sums.values()])
        body = f"{_insert(keys, sums)} VALUES ({values}) {_on_conflict(keys, sums, sqlite=True)}"
        op.execute(f"CREATE TRIGGER charges_roll_up AFTER INSERT ON charges BEGIN {body}; END")
    else:
        op.execute("DROP TRIGGER charges_roll_up ON charges")
        op.execute("DROP FUNCTION charges_roll_up()")
        _in_statements()


def downgrade() -> None:
    """What fees were would be lost, and the roll-ups with them."""
    raise NotImplementedError("this migration cannot be undone: it would drop what charges consist of")


def _immutable(*, sqlite: bool) -> None:
    columns = (column["name"] for column in sa.inspect(op.get_bind()).get_columns("charges"))
    fixed = ", ".join(name for name in columns if name not in _LABELS)
    if sqlite:
        op.execute("DROP TRIGGER charges_no_update")
        op.execute(
            f"CREATE TRIGGER charges_no_update BEFORE UPDATE OF {fixed} ON charges "
            "BEGIN SELECT RAISE(ABORT, 'charges are immutable'); END"
        )
        return
    op.execute("DROP TRIGGER charges_immutable ON charges")
    op.execute(
        f"CREATE TRIGGER charges_immutable BEFORE UPDATE OF {fixed} OR TRUNCATE ON charges "
        "FOR EACH STATEMENT EXECUTE FUNCTION charges_are_immutable()"
    )


def _columns(row: str) -> tuple[dict[str, str], dict[str, str]]:
    """Of the roll-up: what makes a row, and what is added up, each as SQL."""
    moment = f"coalesce({row}own_window_at_us, {row}window_at_us) / 86400000000"
    keys = {"day": moment} | {name: f"{row}{name}" for name in _KEY}
    keys |= {name: f"substr({row}{name}, 1, 120)" for name in _CUT}
    keys["service_tier"] = f"substr({row}service_tier, 1, 32)"
    sums = {"attempts": f"CASE WHEN {row}resolution IN ('correction', 'reconciled') THEN 0 ELSE 1 END"}
    sums |= {name: f"{row}{name}" for name in (*_USAGE, "cost_nano_usd")}
    sums["listed_nano_usd"] = f"coalesce({row}listed_nano_usd, {row}cost_nano_usd)"
    sums["fee_nano_usd"] = f"{row}fee_nano_usd"
    return keys, sums


def _insert(keys: dict[str, str], sums: dict[str, str]) -> str:
    return f"INSERT INTO daily ({', '.join([*keys, *sums])})"


def _on_conflict(keys: dict[str, str], sums: dict[str, str], *, sqlite: bool) -> str:
    added = f"min({_MOST}, {{0}} + excluded.{{1}})"
    if not sqlite:
        added = f"CAST(least({_MOST}, CAST({{0}} AS numeric) + excluded.{{1}}) AS bigint)"
    sets = ", ".join(f"{name} = {added.format(f'daily.{name}', name)}" for name in sums)
    return f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"


def _in_statements() -> None:
    keys, sums = _columns("")
    places = ", ".join(str(place + 1) for place in range(len(keys)))
    totals = ", ".join(f"CAST(least({_MOST}, sum({sql})) AS bigint)" for sql in sums.values())
    added = (
        f"{_insert(keys, sums)} SELECT {', '.join(keys.values())}, {totals} FROM added "  # noqa: S608 -- own words
        f"GROUP BY {places} ORDER BY {places} {_on_conflict(keys, sums, sqlite=False)}"
    )
    function = (
        "CREATE FUNCTION charges_roll_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"PERFORM pg_advisory_xact_lock(19775069974843225); {added}; RETURN NULL; END $$"
    )
    op.execute(sa.text(function.replace(":", r"\:")))
    op.execute(
        "CREATE TRIGGER charges_roll_up AFTER INSERT ON charges REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION charges_roll_up()"
    )
