"""The journal's tables, as SQLAlchemy Core knows them. docs/journal.md explains every column to people.

Units, in every table: times are integer microseconds since 1970-01-01 UTC and end in `_us`; money is integer nano-USD
and ends in `_nano_usd`; durations are milliseconds and end in `_ms`. `tags`, `profile`, `decision`, `allowed_models`,
`limits`, `reserved` and `origin` are JSON text.

A charge is written when it is settled, its request's row when the request ends, so a charge can be there a moment
before its request. `charges.request_id` is therefore a reference that no constraint enforces.

`daily` and `daily_requests` are kept by the database itself (`triggers.py`).

The columns of `requests`, `charges` and `adjustments` stand in the order of the events that they are made from
(`rows.py` relies on it). A change here needs a migration of its own under `migrations/versions/`, and `HEAD` moved to
it: a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
)

from gateway.journal.triggers import DIMENSIONS, SUMS, charge_triggers, request_triggers
from routing.money import Usage

HEAD = "0009"
"""The migration that the tables below are the result of."""

metadata = MetaData()


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _maybe_text(name: str) -> Column[str]:
    return Column(name, Text)


def _integer(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


requests = Table(
    "requests",
    metadata,
    Column("request_id", Text, primary_key=True, nullable=False),
    _integer("at_us"),
    *map(_text, ("org", "team", "agent", "key_id")),
    # `end_user`, not `user`: in PostgreSQL an unquoted `user` is the database's own user, silently.
    *map(_maybe_text, ("run", "parent_run", "session", "end_user")),
    _text("tags"),
    _integer("value_nano_usd", nullable=True),
    _maybe_text("sdk"),
    *map(_text, ("endpoint", "model")),
    _maybe_text("profile"),
    *map(_text, ("deployment", "provider", "rule", "outcome")),
    Column("status", Integer, nullable=False),
    _text("error_code"),
    Column("latency_ms", Float, nullable=False),
    Column("first_token_ms", Float),
    Column("overhead_ms", Float, nullable=False),
    Column("streamed", Boolean, nullable=False),
    _integer("cost_nano_usd"),
    *map(_maybe_text, ("policy", "decision")),
)

charges = Table(
    "charges",
    metadata,
    Column("charge_id", Text, primary_key=True, nullable=False),
    _text("request_id"),
    Column("attempt", Integer, nullable=False),
    _integer("at_us"),
    *map(_text, ("org", "team", "agent", "model", "deployment", "provider", "upstream_model")),
    *map(_integer, Usage._fields),
    *map(_text, ("price_point", "service_tier")),
    _integer("cost_nano_usd"),
    Column("estimated", Boolean, nullable=False),
    Column("unpriced", Boolean, nullable=False),
    *map(_text, ("outcome", "purpose")),
    Column("upstream_status", Integer),
    Column("latency_ms", Float, nullable=False),
    Column("first_token_ms", Float),
    _text("run_path"),
    _maybe_text("root_run"),
    _maybe_text("end_user"),
    _text("tags"),
    _integer("window_at_us"),
    _text("resolution"),
    _integer("reserved_nano_usd"),
    _integer("own_window_at_us", nullable=True),
    _integer("listed_nano_usd", nullable=True),
    Column("fee_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("units", Text, nullable=False, server_default=""),
)

adjustments = Table(
    "adjustments",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    _integer("at_us"),
    *map(_text, ("budget", "value")),
    _integer("window_at_us"),
    _integer("amount_nano_usd"),
    *map(_text, ("reason", "actor")),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    _maybe_text("parent"),
    *map(_text, ("path", "org", "agent", "limits")),
    *map(_integer, ("opened_at_us", "closes_at_us", "carve_nano_usd")),
    *map(_text, ("state", "reason")),
    _integer("changed_at_us"),
)

contents = Table(
    "contents",
    metadata,
    Column("request_id", Text, primary_key=True, nullable=False),
    Column("request_body", LargeBinary, nullable=False),
    Column("answer_body", LargeBinary, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    *map(_text, ("agent", "name")),
    _maybe_text("allowed_models"),
    _integer("created_at_us"),
    _integer("expires_at_us", nullable=True),
    _integer("revoked_at_us", nullable=True),
    Column("revision", BigInteger, nullable=False, unique=True),
    _maybe_text("run"),
)

key_overlaps = Table(
    "key_overlaps",
    metadata,
    Column("key_id", Text, primary_key=True, nullable=False),
    _integer("expires_at_us", nullable=True),
)

alerts = Table(
    "alerts",
    metadata,
    *(Column(name, Text, primary_key=True, nullable=False) for name in ("budget", "value", "period")),
    Column("share_ppm", BigInteger, primary_key=True, nullable=False),
    _integer("at_us"),
)

learned = Table(
    "learned",
    metadata,
    *(Column(name, Text, primary_key=True, nullable=False) for name in ("kind", "agent", "model")),
    Column("state", LargeBinary, nullable=False),
    _integer("updated_at_us"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("request_id", Text, primary_key=True, nullable=False),
    _integer("at_us"),
    *map(_text, ("agent", "model")),
    Column("score", Float, nullable=False),
    _maybe_text("comment"),
)

responses = Table(
    "responses",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    *map(_text, ("org", "team", "agent", "key_id")),
    _maybe_text("end_user"),
    _text("request_id"),
    *map(_integer, ("created_at_us", "expires_at_us", "bytes")),
    _text("status"),
    *(Column(name, Boolean, nullable=False) for name in ("background", "native")),
    *map(_text, ("model", "deployment")),
    *map(_maybe_text, ("previous_id", "conversation")),
    _integer("conversation_items"),
    *map(_integer, ("input_tokens", "output_tokens")),
    _maybe_text("owner"),
    _integer("alive_until_us"),
    *(Column(name, LargeBinary, nullable=False) for name in ("input", "body")),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    *map(_text, ("org", "team", "agent", "key_id")),
    _maybe_text("end_user"),
    *map(_integer, ("created_at_us", "expires_at_us", "bytes", "items", "tokens")),
    _text("metadata"),
)

conversation_items = Table(
    "conversation_items",
    metadata,
    Column("conversation", Text, primary_key=True, nullable=False),
    Column("position", BigInteger, primary_key=True, nullable=False),
    _text("id"),
    Column("item", LargeBinary, nullable=False),
)

gateways = Table(
    "gateways",
    metadata,
    Column("owner", Text, primary_key=True, nullable=False),
    *map(_integer, ("started_at_us", "heartbeat_at_us", "epoch")),
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    _text("owner"),
    _integer("at_us"),
    *map(_text, ("state", "reserved", "origin")),
)

stores = Table(
    "stores",
    metadata,
    Column("installation", Text, primary_key=True, nullable=False),
    _integer("epoch"),
    Column("ready", Boolean, nullable=False),
    _text("server"),
    *map(_integer, ("drained_epoch", "drained_seq")),
)

# The roll-ups are looked for by their whole key and read by days: on SQLite the table itself is that index.
daily = Table(
    "daily",
    metadata,
    Column("day", BigInteger, primary_key=True, nullable=False),
    *(
        Column(name, Boolean if name in {"estimated", "unpriced"} else Text, primary_key=True, nullable=False)
        for name in DIMENSIONS
        if name != "day"
    ),
    *(_integer(name) for name in SUMS if name != "fee_nano_usd"),
    Column("fee_nano_usd", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

daily_requests = Table(
    "daily_requests",
    metadata,
    Column("day", BigInteger, primary_key=True, nullable=False),
    *(Column(name, Text, primary_key=True, nullable=False) for name in ("org", "team", "agent", "model")),
    *map(_integer, ("requests", "errors", "routed_nano_usd", "strongest_nano_usd")),
    *map(_integer, ("routed_asked_nano_usd", "asked_nano_usd")),
    sqlite_with_rowid=False,
)

reconciliations = Table(
    "reconciliations",
    metadata,
    *(Column(name, Text, primary_key=True, nullable=False) for name in ("provider", "model")),
    *map(_integer, ("at_us", "from_day", "to_day", "billed_nano_usd", "charged_nano_usd")),
)

retention = Table(
    "retention",
    metadata,
    Column("kind", Text, primary_key=True, nullable=False),
    _integer("before_us"),
)

forgotten = Table(
    "forgotten",
    metadata,
    *(Column(name, Text, primary_key=True, nullable=False) for name in ("digest", "name")),
    _text("salt"),
    _integer("until_us"),
)

price_points = Table(
    "price_points",
    metadata,
    *(Column(name, Text, primary_key=True, nullable=False) for name in ("id", "rates")),
    _integer("seen_at_us"),
)

# Each index costs processor time on every row: these are the questions that are asked all the time, and no more.
Index("requests_by_agent", requests.c.agent, requests.c.at_us)
Index(
    "requests_by_run",
    requests.c.run,
    sqlite_where=requests.c.run.is_not(None),
)
Index("charges_by_time", charges.c.at_us)
# What budgets are seeded from: by the moment that decides which window a charge counts in.
Index("charges_by_window", charges.c.window_at_us)
Index("charges_by_own_window", charges.c.own_window_at_us, sqlite_where=charges.c.own_window_at_us.is_not(None)).ddl_if(
    dialect="sqlite"
)
Index("charges_by_agent", charges.c.agent, charges.c.window_at_us)
Index("charges_by_request", charges.c.request_id)
Index("charges_by_run", charges.c.root_run, sqlite_where=charges.c.root_run.is_not(None))
Index("run_keys_by_end", keys.c.expires_at_us, sqlite_where=keys.c.run.is_not(None))
Index("adjustments_by_budget", adjustments.c.budget, adjustments.c.window_at_us)
Index("runs_by_change", runs.c.changed_at_us)
Index("reservations_by_owner", reservations.c.owner)
# Which go next, and how large all are together: answered without reading any of them.
Index("responses_by_age", responses.c.expires_at_us, responses.c.bytes)
Index("responses_by_owner", responses.c.owner, sqlite_where=responses.c.owner.is_not(None))
Index("responses_by_user", responses.c.end_user, sqlite_where=responses.c.end_user.is_not(None))
Index("conversations_by_age", conversations.c.expires_at_us, conversations.c.bytes)
Index("conversation_items_by_id", conversation_items.c.conversation, conversation_items.c.id, unique=True)


def _on_create(table: Table, sql: str, dialect: str) -> None:
    ddl = DDL(sql)  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped
    event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


# Nearly no row has it. Not by `postgresql_where`: that loads SQLAlchemy's dialect, which SQLite does not need.
_on_create(
    charges,
    "CREATE INDEX charges_by_own_window ON charges (own_window_at_us) WHERE own_window_at_us IS NOT NULL",
    "postgresql",
)

# An entry of the ledger is written once and never changed: corrections are entries of their own. Charges go when they
# are older than `retention` says; of these and of entries by hand it can be forgotten who they were for (triggers.py).
_LABELS = ("value", "reason")
_fixed = ", ".join([column.name for column in adjustments.columns if column.name not in _LABELS])
for _verb, _event in (("update", f"UPDATE OF {_fixed}"), ("delete", "DELETE")):
    _on_create(
        adjustments,
        f"CREATE TRIGGER adjustments_no_{_verb} BEFORE {_event} ON adjustments "
        "BEGIN SELECT RAISE(ABORT, 'adjustments are immutable'); END",
        "sqlite",
    )
for _name in ("charges", "adjustments"):
    _on_create(
        metadata.tables[_name],
        f"CREATE FUNCTION {_name}_are_immutable() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_name} are immutable' USING ERRCODE = 'restrict_violation'; END $$",
        "postgresql",
    )
_on_create(
    adjustments,
    f"CREATE TRIGGER adjustments_immutable BEFORE UPDATE OF {_fixed} OR DELETE OR TRUNCATE ON adjustments "
    "FOR EACH STATEMENT EXECUTE FUNCTION adjustments_are_immutable()",
    "postgresql",
)
for _dialect in ("sqlite", "postgresql"):
    for _sql in charge_triggers(_dialect, [column.name for column in charges.columns]):
        _on_create(charges, _sql, _dialect)
    for _sql in request_triggers(_dialect):
        _on_create(requests, _sql, _dialect)
