"""What the database does by itself: it keeps charges as they are, and adds every row to the daily roll-ups.

In triggers, and not in the writer: whatever inserts a charge, in whatever way, adds it up in the same statement, and a
row that was there already (`ON CONFLICT DO NOTHING`) adds nothing. So the roll-ups cannot drift. SQLite adds row by
row, PostgreSQL a statement's rows at once, one writer at a time: two that add to the same days would wait for each
other in a circle otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from routing.money import Usage

DAY_US: Final = 86_400_000_000
MAX_TEXT: Final = 120
"""Names in a roll-up are cut to so many characters: a client may choose a model's, and no index takes any length."""
MAX_TIER: Final = 32
_MOST: Final = 2**63 - 1
# A sum that 64 bits cannot hold stays at the most that they can: no made-up count of a provider's may stop the journal.
_SUM_OF_ROWS: Final = f"min({_MOST}, {{0}} + excluded.{{1}})"
_SUM_OF_STATEMENTS: Final = f"CAST(least({_MOST}, CAST({{0}} AS numeric) + excluded.{{1}}) AS bigint)"
_ROLL_UP_LOCK: Final = 0x46_41_52_45_42_4F_59
"""PostgreSQL's advisory lock of who adds to the roll-ups; the next number after the journal's own."""

MOMENT: Final = "coalesce({0}own_window_at_us, {0}window_at_us)"
"""When an attempt was made: when its money was reserved, or when it was settled where nothing governed it. A late
charge, and a correction, so belongs to the day of the call."""

DIMENSIONS: Final[dict[str, str]] = {
    "day": f"{MOMENT} / {DAY_US}",
    **{name: f"{{0}}{name}" for name in ("org", "team", "agent")},
    **{name: f"substr({{0}}{name}, 1, {MAX_TEXT})" for name in ("model", "deployment")},
    "provider": "{0}provider",
    **{name: f"substr({{0}}{name}, 1, {MAX_TEXT})" for name in ("upstream_model", "price_point")},
    "service_tier": f"substr({{0}}service_tier, 1, {MAX_TIER})",
    **{name: f"{{0}}{name}" for name in ("purpose", "resolution", "estimated", "unpriced")},
}
"""What a row of `daily` is about, each as SQL over a row of `charges` whose name goes where `{0}` is."""
SUMS: Final[dict[str, str]] = {
    "attempts": "CASE WHEN {0}resolution IN ('correction', 'reconciled') THEN 0 ELSE 1 END",
    **{name: f"{{0}}{name}" for name in Usage._fields},
    "cost_nano_usd": "{0}cost_nano_usd",
    "listed_nano_usd": "coalesce({0}listed_nano_usd, {0}cost_nano_usd)",
    "fee_nano_usd": "{0}fee_nano_usd",
}
"""What it adds up."""

_WELL = "{0}outcome IN ('ok', 'shortened')"
REQUEST_DIMENSIONS: Final = {
    "day": f"{{0}}at_us / {DAY_US}",
    **{name: f"{{0}}{name}" for name in ("org", "team", "agent")},
    "model": f"substr({{model}}, 1, {MAX_TEXT})",
}
REQUEST_SUMS: Final = {
    "requests": "1",
    "errors": f"CASE WHEN {_WELL} THEN 0 ELSE 1 END",
    "routed_nano_usd": f"CASE WHEN {_WELL} AND {{strongest}} IS NOT NULL THEN {{0}}cost_nano_usd ELSE 0 END",
    "strongest_nano_usd": f"CASE WHEN {_WELL} AND {{strongest}} IS NOT NULL THEN {{strongest}} ELSE 0 END",
    "routed_asked_nano_usd": f"CASE WHEN {_WELL} AND {{asked}} IS NOT NULL THEN {{0}}cost_nano_usd ELSE 0 END",
    "asked_nano_usd": f"CASE WHEN {_WELL} AND {{asked}} IS NOT NULL THEN {{asked}} ELSE 0 END",
}

LABELS: Final = ("run_path", "root_run", "end_user", "tags")
"""All of a charge that may ever change: who it was for, once that has to be forgotten."""


def request_sql(template: str, row: str, dialect: str) -> str:
    """SQL over a row of `requests`: what of it is in the decision's JSON is read there."""
    if dialect == "sqlite":
        fields = {name: f"json_extract({row}decision, '$.{key}')" for name, key in _DECIDED.items()}
    else:
        fields = {name: f"({row}decision::json ->> '{key}')" for name, key in _DECIDED.items()}
        fields |= {name: f"{fields[name]}::bigint" for name in ("strongest", "asked")}
    fields["model"] = f"coalesce({fields['model']}, '')"
    return template.format(row, **fields)


_DECIDED: Final = {"model": "model", "strongest": "strongest_paid_nano_usd", "asked": "asked_paid_nano_usd"}


def charge_triggers(dialect: str, columns: Sequence[str]) -> list[str]:
    """The DDL behind `charges`. `columns`: all that the table has, in its order."""
    fixed = ", ".join(name for name in columns if name not in LABELS)
    kept = "coalesce((SELECT before_us FROM retention WHERE kind = 'charges'), 0)"
    latest = "coalesce({0}own_window_at_us, 0)"
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER charges_no_update BEFORE UPDATE OF {fixed} ON charges "
            "BEGIN SELECT RAISE(ABORT, 'charges are immutable'); END",
            "CREATE TRIGGER charges_no_delete BEFORE DELETE ON charges "
            f"WHEN max(OLD.at_us, OLD.window_at_us, {latest.format('OLD.')}) >= {kept} "
            "BEGIN SELECT RAISE(ABORT, 'charges are immutable'); END",
            _add_row("charges", "daily", *_over(DIMENSIONS, SUMS, "NEW.")),
        ]
    young = f"EXISTS (SELECT 1 FROM gone WHERE greatest(at_us, window_at_us, {latest.format('')}) >= {kept})"  # noqa: S608 -- our own words
    function = "charges_are_immutable()"
    return [
        f"CREATE TRIGGER charges_immutable BEFORE UPDATE OF {fixed} OR TRUNCATE ON charges "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {function}",
        "CREATE FUNCTION charges_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {young} "
        "THEN RAISE EXCEPTION 'charges are immutable' USING ERRCODE = 'restrict_violation'; END IF; RETURN NULL; "
        "END $$",
        "CREATE TRIGGER charges_kept AFTER DELETE ON charges REFERENCING OLD TABLE AS gone "
        "FOR EACH STATEMENT EXECUTE FUNCTION charges_are_kept()",
        *_add_rows("charges", "daily", *_over(DIMENSIONS, SUMS, "")),
    ]


def request_triggers(dialect: str) -> list[str]:
    """The DDL behind `requests`."""
    row = "NEW." if dialect == "sqlite" else ""
    keys = {name: request_sql(sql, row, dialect) for name, sql in REQUEST_DIMENSIONS.items()}
    sums = {name: request_sql(sql, row, dialect) for name, sql in REQUEST_SUMS.items()}
    if dialect == "sqlite":
        return [_add_row("requests", "daily_requests", keys, sums)]
    return _add_rows("requests", "daily_requests", keys, sums)


def _over(keys: dict[str, str], sums: dict[str, str], row: str) -> tuple[dict[str, str], dict[str, str]]:
    return (
        {name: sql.format(row) for name, sql in keys.items()},
        {name: sql.format(row) for name, sql in sums.items()},
    )


def _upsert(table: str, keys: dict[str, str], sums: dict[str, str], sum_up: str) -> tuple[str, str]:
    names = ", ".join([*keys, *sums])
    added = ", ".join(f"{name} = {sum_up.format(f'{table}.{name}', name)}" for name in sums)
    return f"INSERT INTO {table} ({names})", f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {added}"


def _add_row(source: str, table: str, keys: dict[str, str], sums: dict[str, str]) -> str:
    insert, on_conflict = _upsert(table, keys, sums, _SUM_OF_ROWS)
    values = ", ".join([*keys.values(), *sums.values()])
    body = f"{insert} VALUES ({values}) {on_conflict}"
    return f"CREATE TRIGGER {source}_roll_up AFTER INSERT ON {source} BEGIN {body}; END"


def _add_rows(source: str, table: str, keys: dict[str, str], sums: dict[str, str]) -> list[str]:
    insert, on_conflict = _upsert(table, keys, sums, _SUM_OF_STATEMENTS)
    places = ", ".join(str(place + 1) for place in range(len(keys)))
    totals = ", ".join(f"CAST(least({_MOST}, sum({sql})) AS bigint)" for sql in sums.values())
    added = f"{insert} SELECT {', '.join(keys.values())}, {totals} FROM added GROUP BY {places} ORDER BY {places}"  # noqa: S608 -- own words
    return [
        f"CREATE FUNCTION {source}_roll_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"PERFORM pg_advisory_xact_lock({_ROLL_UP_LOCK}); {added} {on_conflict}; RETURN NULL; END $$",
        f"CREATE TRIGGER {source}_roll_up AFTER INSERT ON {source} REFERENCING NEW TABLE AS added "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {source}_roll_up()",
    ]
