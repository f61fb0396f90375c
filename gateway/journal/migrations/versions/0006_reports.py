"""Reports: daily roll-ups that the database keeps, filled from what is there; reconciliations; what may be deleted.

A migration is history: it repeats what the tables were and never imports `gateway.journal.tables`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
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
_KEPT = "coalesce((SELECT before_us FROM retention WHERE kind = 'charges'), 0)"
_CUT = ("model", "deployment", "upstream_model", "price_point")
_KEY = (
    *("org", "team", "agent", "model", "deployment", "provider", "upstream_model", "price_point", "service_tier"),
    *("purpose", "resolution", "estimated", "unpriced"),
)
_REQUEST_KEY = ("day", "org", "team", "agent", "model")
_REQUEST_SUMS = (
    *("requests", "errors", "routed_nano_usd", "strongest_nano_usd"),
    *("routed_asked_nano_usd", "asked_nano_usd"),
)


def upgrade() -> None:
    """Make the tables, have the database keep the roll-ups, and add up what is there."""
    op.add_column("charges", sa.Column("listed_nano_usd", sa.BigInteger))
    _tables()
    _immutable()
    if op.get_bind().dialect.name == "postgresql":
        _in_statements("charges", "daily", *_of_charges(""))
        _in_statements("requests", "daily_requests", *_of_requests(""))
    else:
        _in_rows("charges", "daily", *_of_charges("NEW."))
        _in_rows("requests", "daily_requests", *_of_requests("NEW."))
    add_up = _sums if op.get_bind().dialect.name == "postgresql" else _one_by_one
    op.execute(sa.text(add_up("daily", "charges", *_of_charges("")).replace(":", r"\:")))
    op.execute(sa.text(add_up("daily_requests", "requests", *_of_requests("")).replace(":", r"\:")))


def downgrade() -> None:
    """Days whose charges are gone would be lost."""
    raise NotImplementedError("this migration cannot be undone: it would drop sums whose charges may be gone")


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=True, nullable=False)


def _tables() -> None:
    op.create_table(
        "daily",
        sa.Column("day", sa.BigInteger, primary_key=True, nullable=False),
        *map(_key, _KEY[:-2]),
        *(sa.Column(name, sa.Boolean, primary_key=True, nullable=False) for name in _KEY[-2:]),
        *map(_integer, ("attempts", *_USAGE, "cost_nano_usd", "listed_nano_usd")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "daily_requests",
        sa.Column("day", sa.BigInteger, primary_key=True, nullable=False),
        *map(_key, _REQUEST_KEY[1:]),
        *map(_integer, _REQUEST_SUMS),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reconciliations",
        *map(_key, ("provider", "model")),
        *map(_integer, ("at_us", "from_day", "to_day", "billed_nano_usd", "charged_nano_usd")),
    )
    op.create_table("retention", _key("kind"), _integer("before_us"))


def _immutable() -> None:
    """Old charges may be deleted, and who they were for forgotten; nothing else of them changes."""
    columns = (column["name"] for column in sa.inspect(op.get_bind()).get_columns("charges"))
    fixed = ", ".join(name for name in columns if name not in _LABELS)
    latest = "coalesce({}own_window_at_us, 0)"
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER charges_no_update")
        op.execute("DROP TRIGGER charges_no_delete")
        op.execute(
            f"CREATE TRIGGER charges_no_update BEFORE UPDATE OF {fixed} ON charges "
            "BEGIN SELECT RAISE(ABORT, 'charges are immutable'); END"
        )
        op.execute(
            "CREATE TRIGGER charges_no_delete BEFORE DELETE ON charges "
            f"WHEN max(OLD.at_us, OLD.window_at_us, {latest.format('OLD.')}) >= {_KEPT} "
            "BEGIN SELECT RAISE(ABORT, 'charges are immutable'); END"
        )
        return
    young = f"EXISTS (SELECT 1 FROM gone WHERE greatest(at_us, window_at_us, {latest.format('')}) >= {_KEPT})"  # noqa: S608 -- this file's own words
    op.execute("DROP TRIGGER charges_immutable ON charges")
    op.execute(
        f"CREATE TRIGGER charges_immutable BEFORE UPDATE OF {fixed} OR TRUNCATE ON charges "
        "FOR EACH STATEMENT EXECUTE FUNCTION charges_are_immutable()"
    )
    op.execute(
        "CREATE FUNCTION charges_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {young} "
        "THEN RAISE EXCEPTION 'charges are immutable' USING ERRCODE = 'restrict_violation'; END IF; RETURN NULL; "
        "END $$"
    )
    op.execute(
        "CREATE TRIGGER charges_kept AFTER DELETE ON charges REFERENCING OLD TABLE AS gone "
        "FOR EACH STATEMENT EXECUTE FUNCTION charges_are_kept()"
    )


_Columns = tuple[dict[str, str], dict[str, str]]
"""Of a roll-up: what makes a row, and what is added up, each as SQL."""


def _of_charges(row: str) -> _Columns:
    moment = f"coalesce({row}own_window_at_us, {row}window_at_us) / 86400000000"
    keys = {"day": moment} | {name: f"{row}{name}" for name in _KEY}
    keys |= {name: f"substr({row}{name}, 1, 120)" for name in _CUT}
    keys["service_tier"] = f"substr({row}service_tier, 1, 32)"
    sums = {"attempts": f"CASE WHEN {row}resolution IN ('correction', 'reconciled') THEN 0 ELSE 1 END"}
    sums |= {name: f"{row}{name}" for name in (*_USAGE, "cost_nano_usd")}
    sums["listed_nano_usd"] = f"coalesce({row}listed_nano_usd, {row}cost_nano_usd)"
    return keys, sums


def _of_requests(row: str) -> _Columns:
    if op.get_bind().dialect.name == "sqlite":
        model, strongest, asked = (
            f"json_extract({row}decision, '$.{name}')"
            for name in ("model", "strongest_paid_nano_usd", "asked_paid_nano_usd")
        )
    else:
        model = f"({row}decision::json ->> 'model')"
        strongest = f"({row}decision::json ->> 'strongest_paid_nano_usd')::bigint"
        asked = f"({row}decision::json ->> 'asked_paid_nano_usd')::bigint"
    well, cost = f"{row}outcome IN ('ok', 'shortened')", f"{row}cost_nano_usd"
    keys = {"day": f"{row}at_us / 86400000000"} | {name: f"{row}{name}" for name in _REQUEST_KEY[1:-1]}
    keys["model"] = f"substr(coalesce({model}, ''), 1, 120)"
    sums = {"requests": "1", "errors": f"CASE WHEN {well} THEN 0 ELSE 1 END"}
    for paid, name, other in (("routed", "strongest", strongest), ("routed_asked", "asked", asked)):
        sums[f"{paid}_nano_usd"] = f"CASE WHEN {well} AND {other} IS NOT NULL THEN {cost} ELSE 0 END"
        sums[f"{name}_nano_usd"] = f"CASE WHEN {well} AND {other} IS NOT NULL THEN {other} ELSE 0 END"
    return keys, sums


_MOST = 2**63 - 1


def _upsert(table: str, keys: dict[str, str], sums: dict[str, str]) -> tuple[str, str]:
    added = f"min({_MOST}, {{0}} + excluded.{{1}})"
    if op.get_bind().dialect.name == "postgresql":
        added = f"CAST(least({_MOST}, CAST({{0}} AS numeric) + excluded.{{1}}) AS bigint)"
    sets = ", ".join(f"{name} = {added.format(f'{table}.{name}', name)}" for name in sums)
    return (
        f"INSERT INTO {table} ({', '.join([*keys, *sums])})",
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}",
    )


def _in_rows(source: str, table: str, keys: dict[str, str], sums: dict[str, str]) -> None:
    insert, on_conflict = _upsert(table, keys, sums)
    values = ", ".join([*keys.values(), *sums.values()])
    body = f"{insert} VALUES ({values}) {on_conflict}"
    op.execute(f"CREATE TRIGGER {source}_roll_up AFTER INSERT ON {source} BEGIN {body}; END")


def _in_statements(source: str, table: str, keys: dict[str, str], sums: dict[str, str]) -> None:
    _, on_conflict = _upsert(table, keys, sums)
    function = (
        f"CREATE FUNCTION {source}_roll_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"PERFORM pg_advisory_xact_lock(19775069974843225); {_sums(table, 'added', keys, sums)} {on_conflict}; "
        "RETURN NULL; END $$"
    )
    op.execute(sa.text(function.replace(":", r"\:")))
    op.execute(
        f"CREATE TRIGGER {source}_roll_up AFTER INSERT ON {source} REFERENCING NEW TABLE AS added "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {source}_roll_up()"
    )


def _sums(table: str, source: str, keys: dict[str, str], sums: dict[str, str]) -> str:
    insert, _ = _upsert(table, keys, sums)
    places = ", ".join(str(place + 1) for place in range(len(keys)))
    totals = ", ".join(f"CAST(least({_MOST}, sum({sql})) AS bigint)" for sql in sums.values())
    return f"{insert} SELECT {', '.join(keys.values())}, {totals} FROM {source} GROUP BY {places} ORDER BY {places}"  # noqa: S608 -- own words


def _one_by_one(table: str, source: str, keys: dict[str, str], sums: dict[str, str]) -> str:
    """SQLite's `sum()` fails beyond 64 bits, `+` does not; and a provider may have made up such counts."""
    insert, on_conflict = _upsert(table, keys, sums)
    values = ", ".join([*keys.values(), *sums.values()])
    return f"{insert} SELECT {values} FROM {source} WHERE true {on_conflict}"  # noqa: S608 -- own words
