"""One agent: what it costs per run and per step, on what, how well it goes, and what stands in its way."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as model

from gateway.telemetry.boards import frame, runs
from gateway.telemetry.boards.budgets import who_runs_out
from gateway.telemetry.boards.frame import Head, Line, Section
from gateway.telemetry.boards.panels import (
    COUNT,
    PER_SECOND,
    SECONDS,
    SHARE,
    USD,
    About,
    Query,
    bad_above,
    lines,
    stacked,
    stat_of,
)
from gateway.telemetry.boards.queries import ONE_AGENT, SPEND, WASTED, increase, quantile, rate, share, spent
from gateway.telemetry.boards.spend import PURPOSE_COLORS

HEAD: Final = Head("farebox-agent", "Agent", "One agent: what it costs, on what, and how well it goes.", "now-24h")
BAD: Final = "upstream_error|cut|error"
"""Outcomes of requests that the agent did not deserve."""


def build() -> model.Dashboard:
    """The board."""
    return frame.board(
        HEAD,
        (frame.prometheus(), frame.journal(), frame.one_agent()),
        (
            Section("Money", (Line(4, _money()), Line(9, (_by_model(), _by_purpose())))),
            Section("Steps", (Line(9, (_per_step(), _tokens(), _cache())),)),
            Section("Runs (from the journal)", (Line(9, runs.of_agent()),)),
            Section("How well it goes", (Line(9, _outcomes()), Line(9, _times()))),
            Section("What stands in its way", (Line(8, (who_runs_out(ONE_AGENT),)), Line(9, _limits()))),
        ),
    )


def _requests(where: str = "") -> str:
    return increase("farebox_requests_total", where=f"{ONE_AGENT}{where}")


def _money() -> tuple[model.Panel, ...]:
    answered = ',outcome=~"ok|shortened"'
    wasted = spent(where=f'{ONE_AGENT},purpose=~"{WASTED}"')
    return (
        stat_of(
            About("Today", "Spent since midnight of your time zone.", USD),
            Query(spent(where=ONE_AGENT, metric=SPEND)),
            time_from="now/d",
        ),
        stat_of(About("In this range", "Spent in the time range above.", USD), Query(spent(where=ONE_AGENT))),
        stat_of(
            About(
                "Per step", "What an answered request cost on average, retries and failures included.", USD, decimals=4
            ),
            Query(f"{spent(where=ONE_AGENT)} / ({_requests(answered)} > 0)"),
        ),
        stat_of(
            About(
                "Wasted", "Share of its money that bought no answer anybody wanted.", SHARE, bad_above(0.05, 0.15), 1
            ),
            Query(share(wasted, spent(where=ONE_AGENT))),
        ),
        stat_of(
            About(
                "Failed", "Share of its requests that ended in an error not its own.", SHARE, bad_above(0.01, 0.05), 1
            ),
            Query(share(_requests(f',outcome=~"{BAD}"'), _requests())),
        ),
        stat_of(
            About("Under way", "Its requests being served at this moment.", COUNT),
            Query(f"sum(farebox_in_flight_requests{{{ONE_AGENT}}})"),
        ),
    )


def _by_model() -> model.Panel:
    return stacked(
        About("Cost by model", "Money per bar, by the model that answered.", USD, least=0),
        Query(spent("model", ONE_AGENT, "$__interval"), "{{model}}", "20m"),
    )


def _by_purpose() -> model.Panel:
    return stacked(
        About("Cost by purpose", "Money per bar, by what it was good for.", USD, least=0),
        Query(spent("purpose", ONE_AGENT, "$__interval"), "{{purpose}}", "20m"),
        colors=PURPOSE_COLORS,
    )


def _per_step() -> model.Panel:
    charged = rate("farebox_cost_usd_total", "model", ONE_AGENT)
    returned = rate("farebox_cost_returned_usd_total", "model", ONE_AGENT)
    cost = f"({charged} - ({returned} or {charged} * 0))"
    calls = rate("farebox_requests_total", "model", f'{ONE_AGENT},outcome=~"ok|shortened"')
    return lines(
        About("Cost per step", "What a request cost, by model: all its attempts together, per answer.", USD, least=0),
        Query(f"{cost} / ({calls} > 0)", "{{model}}", "5m"),
    )


def _tokens() -> model.Panel:
    return lines(
        About(
            "Tokens per second, by kind",
            "Input and output are totals; the other kinds are parts of them.",
            COUNT,
            least=0,
        ),
        Query(rate("farebox_tokens_total", "kind", ONE_AGENT), "{{kind}}", "5m"),
    )


def _cache() -> model.Panel:
    read = rate("farebox_tokens_total", "model", f'{ONE_AGENT},kind="cache_read"')
    whole = rate("farebox_tokens_total", "model", f'{ONE_AGENT},kind="input"')
    return lines(
        About(
            "Prompt cache hits",
            "Share of the input that providers read from their prompt cache, at a fraction of the price.",
            SHARE,
            least=0,
            most=1,
        ),
        Query(share(read, whole), "{{model}}", "5m"),
    )


def _outcomes() -> tuple[model.Panel, ...]:
    return (
        stacked(
            About("Requests, by how they ended", "Everything but ok did not go as the agent wished.", COUNT, least=0),
            Query(increase("farebox_requests_total", "outcome", ONE_AGENT, "$__interval"), "{{outcome}}", "5m"),
            colors=(("ok", "green"), ("refused", "orange"), ("upstream_error", "red"), ("client_gone", "yellow")),
        ),
        stacked(
            About(
                "Errors, by code",
                "The codes that the agent's clients got; docs/errors.md explains each.",
                COUNT,
                least=0,
            ),
            Query(increase("farebox_errors_total", "code", ONE_AGENT, "$__interval"), "{{code}}", "5m"),
        ),
    )


def _times() -> tuple[model.Panel, ...]:
    duration, first = "farebox_request_duration_seconds", "farebox_first_token_seconds"
    return (
        lines(
            About("Answer time", "From a request's arrival to its answer's last byte.", SECONDS, least=0),
            Query(quantile(0.5, duration, where=ONE_AGENT), "median", "5m"),
            Query(quantile(0.95, duration, where=ONE_AGENT), "95%", "5m"),
            percentile=True,
        ),
        lines(
            About("First token", "From a request's arrival to the first byte of the answer.", SECONDS, least=0),
            Query(quantile(0.5, first, where=ONE_AGENT), "median", "5m"),
            Query(quantile(0.95, first, where=ONE_AGENT), "95%", "5m"),
            percentile=True,
        ),
        lines(
            About("Requests per second", "How often the agent asks.", PER_SECOND, least=0),
            Query(rate("farebox_requests_total", "model", ONE_AGENT), "{{model}}", "5m"),
        ),
    )


def _limits() -> tuple[model.Panel, ...]:
    return (
        stacked(
            About("Limits", "What budgets, rates and runs did to its requests, and why.", COUNT, least=0),
            Query(
                increase("farebox_limits_total", "kind, reason", ONE_AGENT, "$__interval"), "{{kind}} {{reason}}", "5m"
            ),
        ),
        stacked(
            About("Loops", "Where it repeated itself, and what was done about it.", COUNT, least=0),
            Query(
                increase("farebox_loops_total", "kind, action", ONE_AGENT, "$__interval"), "{{kind}}: {{action}}", "5m"
            ),
        ),
    )
