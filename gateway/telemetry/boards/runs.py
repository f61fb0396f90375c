"""Runs, users and tags: what must never be a metric's label, and so comes from the journal, by SQL on PostgreSQL.

Money is whole nano-dollars in the journal. It is summed as it is and divided at the very end.
"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as model

from gateway.telemetry import names
from gateway.telemetry.boards import frame
from gateway.telemetry.boards.frame import Head, Line, Section
from gateway.telemetry.boards.panels import COUNT, SECONDS, SHARE, USD, About, bad_above
from gateway.telemetry.boards.queries import FROM_US, TO_US
from gateway.telemetry.boards.tables import Column, rows_of, series_of

HEAD: Final = Head("farebox-runs", "Runs and users", "The dearest runs, users and tags, and what a run did.", "now-24h")
_USD: Final = "(sum(cost_nano_usd) / 1e9)::float8"
_WASTED: Final = ", ".join(f"'{purpose}'" for purpose in names.WASTED)
_IN_RANGE: Final = f"at_us BETWEEN {FROM_US} AND {TO_US}"
_CHOSEN: Final = (
    f"{_IN_RANGE} AND org ~ '^${{org:regex}}$' AND team ~ '^${{team:regex}}$' AND agent ~ '^${{agent:regex}}$'"
)
_RUN: Final = "substring(run_path from '[^>]+$')"
"""The attempt's own run, as `agent/run`."""


def build() -> model.Dashboard:
    """The board."""
    run = frame.text("run", "Run", "An id, as in the first column of the dearest runs, to see what it did.")
    variables = (frame.prometheus(), frame.journal(), *frame.labels("org", "team", "agent"), run)
    return frame.board(
        HEAD,
        variables,
        (
            Section("Runs", (Line(10, (_dearest(_CHOSEN),)), Line(9, (_per_hour(), _spread())))),
            Section("One run: $run", (Line(10, (_steps(),)),)),
            Section("Users, sessions and tags", (Line(10, (_users(), _tags())), Line(10, (_sessions(), _refused())))),
        ),
    )


def of_agent() -> tuple[model.Panel, ...]:
    """What the board of one agent shows of its runs."""
    chosen = f"{_IN_RANGE} AND agent = '$agent'"
    return (_dearest(chosen), _typical(chosen))


def _dearest(where: str) -> model.Panel:
    sql = f"""
SELECT {_RUN} AS "Run", min(agent) AS "Agent", count(DISTINCT request_id) AS "Steps", {_USD} AS "Cost",
  {_USD} / count(DISTINCT request_id) AS "Per step",
  coalesce(sum(cost_nano_usd) FILTER (WHERE purpose IN ({_WASTED})), 0)::float8
    / nullif(sum(cost_nano_usd), 0) AS "Wasted",
  (max(at_us) - min(at_us)) / 1e6::float8 AS "Took", max(end_user) AS "User"
FROM charges
WHERE {where} AND run_path <> ''
GROUP BY 1 ORDER BY sum(cost_nano_usd) DESC LIMIT 50"""
    return rows_of(
        About(
            "Dearest runs",
            "The fifty runs that cost most in the range, their own steps only. Click one to see them.",
            USD,
        ),
        sql.strip(),
        (
            Column("Run", "Run", link="/d/farebox-runs?var-run=${__value.raw}&${__url_time_range}"),
            Column("Agent", "Agent", link=frame.agent_url("__value.raw")),
            Column("Steps", "Steps", COUNT, bad_above(50, 200)),
            Column("Wasted", "Wasted", SHARE, bad_above(0.05, 0.15)),
            Column("Took", "Took", SECONDS),
            Column("User", "User", "string"),
        ),
        "Cost",
    )


def _typical(where: str) -> model.Panel:
    sql = f"""
SELECT (at_us / 3600000000 * 3600)::bigint AS time,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY usd) AS "median run",
  percentile_cont(0.95) WITHIN GROUP (ORDER BY usd) AS "95% of runs"
FROM (
  SELECT root_run, min(at_us) AS at_us, {_USD} AS usd FROM charges
  WHERE {where} AND root_run IS NOT NULL GROUP BY root_run
) AS runs
GROUP BY 1 ORDER BY 1"""
    return series_of(
        About("Cost per run", "What runs cost, sub-runs included, by the hour in which they began.", USD, least=0),
        sql.strip(),
        stacked=False,
    )


def _per_hour() -> model.Panel:
    sql = f"""
SELECT (at_us / 3600000000 * 3600)::bigint AS time, agent AS metric, count(*)::float8 AS runs
FROM (SELECT root_run, min(agent) AS agent, min(at_us) AS at_us FROM charges
  WHERE {_CHOSEN} AND root_run IS NOT NULL GROUP BY root_run) AS runs
GROUP BY 1, 2 ORDER BY 1"""
    return series_of(
        About("Runs begun", "Runs by the hour in which they first cost something.", COUNT, least=0),
        sql.strip(),
        stacked=True,
    )


def _spread() -> model.Panel:
    sql = f"""
SELECT agent AS "Agent", count(*) AS "Runs", percentile_cont(0.5) WITHIN GROUP (ORDER BY usd) AS "Median",
  percentile_cont(0.95) WITHIN GROUP (ORDER BY usd) AS "95%", max(usd) AS "Dearest",
  avg(steps)::float8 AS "Steps per run"
FROM (SELECT root_run, min(agent) AS agent, count(DISTINCT request_id) AS steps, {_USD} AS usd FROM charges
  WHERE {_CHOSEN} AND root_run IS NOT NULL GROUP BY root_run) AS runs
GROUP BY agent ORDER BY 4 DESC"""
    return rows_of(
        About("Cost per run, by agent", "What a run costs usually, and at worst, sub-runs included.", USD),
        sql.strip(),
        (
            Column("Agent", "Agent", link=frame.agent_url("__value.raw")),
            Column("Runs", "Runs", COUNT),
            Column("Steps per run", "Steps per run", COUNT),
        ),
        "95%",
    )


def _steps() -> model.Panel:
    sql = f"""
SELECT to_timestamp(at_us / 1e6) AS "At", request_id AS "Request", attempt AS "Attempt", {_RUN} AS "Run",
  model AS "Model", provider AS "Provider", outcome AS "Outcome", purpose AS "Purpose", input_tokens AS "Input",
  output_tokens AS "Output", (cost_nano_usd / 1e9)::float8 AS "Cost", latency_ms / 1000 AS "Took"
FROM charges
WHERE {_IN_RANGE} AND '${{run}}' = ANY (string_to_array(run_path, '>'))
ORDER BY at_us LIMIT 1000"""
    return rows_of(
        About("Its steps", "Every upstream call of the run named above, and of its sub-runs, in their order.", USD),
        sql.strip(),
        (
            Column("Attempt", "Attempt", COUNT, bad_above(2, 3)),
            Column("Input", "Input", COUNT),
            Column("Output", "Output", COUNT),
            Column("Took", "Took", SECONDS),
        ),
        "-At",
    )


def _users() -> model.Panel:
    sql = f"""
SELECT end_user AS "User", count(DISTINCT request_id) AS "Requests", count(DISTINCT root_run) AS "Runs",
  {_USD} AS "Cost"
FROM charges WHERE {_CHOSEN} AND end_user IS NOT NULL
GROUP BY 1 ORDER BY sum(cost_nano_usd) DESC LIMIT 50"""
    return rows_of(
        About("Users that cost most", "End users as the clients name them.", USD),
        sql.strip(),
        (Column("Requests", "Requests", COUNT), Column("Runs", "Runs", COUNT)),
        "Cost",
    )


def _tags() -> model.Panel:
    sql = f"""
SELECT tag.key || '=' || tag.value AS "Tag", count(DISTINCT request_id) AS "Requests", {_USD} AS "Cost"
FROM charges, jsonb_each_text(charges.tags::jsonb) AS tag WHERE {_CHOSEN} AND tags <> '{{}}'
GROUP BY 1 ORDER BY sum(cost_nano_usd) DESC LIMIT 50"""
    return rows_of(
        About("Tags that cost most", "By the tags that clients give. A request with two tags counts under both.", USD),
        sql.strip(),
        (Column("Requests", "Requests", COUNT),),
        "Cost",
    )


def _sessions() -> model.Panel:
    sql = f"""
SELECT session AS "Session", min(agent) AS "Agent", count(*) AS "Requests", {_USD} AS "Cost"
FROM requests WHERE {_CHOSEN} AND session IS NOT NULL
GROUP BY 1 ORDER BY sum(cost_nano_usd) DESC LIMIT 50"""
    return rows_of(
        About("Sessions that cost most", "Conversations and threads as the clients name them.", USD),
        sql.strip(),
        (Column("Requests", "Requests", COUNT), Column("Agent", "Agent", link=frame.agent_url("__value.raw"))),
        "Cost",
    )


def _refused() -> model.Panel:
    sql = f"""
SELECT run AS "Run", agent AS "Agent", error_code AS "Code", count(*) AS "Times",
  to_timestamp(max(at_us) / 1e6) AS "Last"
FROM requests WHERE {_CHOSEN} AND outcome <> 'ok' AND error_code <> ''
GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 50"""
    return rows_of(
        About(
            "Refused and failed, by run",
            "Which runs got which errors, and how often: loops and runaways come first.",
            COUNT,
        ),
        sql.strip(),
        (
            Column(
                "Run", "Run", link="/d/farebox-runs?var-run=${__data.fields.Agent}/${__value.raw}&${__url_time_range}"
            ),
            Column("Times", "Times", COUNT, bad_above(10, 100)),
        ),
        "Times",
    )
