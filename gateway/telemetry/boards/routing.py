"""What policies decide, and what that saves against the models that would have been taken without them."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as model

from gateway.telemetry.boards import frame
from gateway.telemetry.boards.frame import Head, Line, Section
from gateway.telemetry.boards.panels import (
    COUNT,
    SHARE,
    USD,
    About,
    Query,
    Step,
    bad_above,
    lines,
    pie,
    stacked,
    stat_of,
)
from gateway.telemetry.boards.queries import AGENTS, increase, spent
from gateway.telemetry.boards.tables import Column, table_of

HEAD: Final = Head("farebox-routing", "Routing and savings", "What policies decide, and what that saves.", "now-24h")
_SAVED: Final = (Step(None, "red"), Step(0, "text"), Step(0.1, "green"))
_PAID: Final = "farebox_routed_cost_usd_total"
_STRONGEST: Final = "farebox_routed_strongest_cost_usd_total"
_ASKED: Final = "farebox_routed_asked_cost_usd_total"
_BY_MODEL: Final = f'{AGENTS},asked="model"'
"""What `_ASKED` is compared with: requests that asked for a concrete model."""
_LOWERED: Final = 'downgraded!=""'


def build() -> model.Dashboard:
    """The board."""
    variables = (frame.prometheus(), *frame.labels("org", "team", "agent", "model"))
    return frame.board(
        HEAD,
        variables,
        (
            Section("Saved", (Line(4, _saved()), Line(9, (_over_time(),)), Line(9, (_by_agent(),)))),
            Section("What policies decide", (Line(9, _decisions()), Line(9, _where_money_goes()))),
            Section("What they would decide", (Line(9, _trials()),)),
        ),
    )


def _saved() -> tuple[model.Panel, ...]:
    paid, strongest = increase(_PAID), increase(_STRONGEST)
    asked, paid_asked = increase(_ASKED), increase(_PAID, where=_BY_MODEL)
    return (
        stat_of(
            About(
                "Saved against the strongest",
                "What the same tokens would have cost at the strongest candidate, less what was paid, in the range.",
                USD,
                _SAVED,
            ),
            Query(f"{strongest} - {paid}"),
        ),
        stat_of(
            About(
                "Of what it would have cost",
                "The same as a share of what the strongest would have cost.",
                SHARE,
                _SAVED,
                1,
            ),
            Query(f"1 - {paid} / ({strongest} > 0)"),
        ),
        stat_of(
            About(
                "Saved against the model asked for",
                "For requests that asked for a concrete model and got another.",
                USD,
                _SAVED,
            ),
            Query(f"{asked} - {paid_asked}"),
        ),
        stat_of(
            About(
                "Of what that would have cost",
                "The same as a share of what the model asked for would have cost.",
                SHARE,
                _SAVED,
                1,
            ),
            Query(f"1 - {paid_asked} / ({asked} > 0)"),
        ),
        stat_of(
            About(
                "Sent to weaker models",
                "Share of the range's decisions that a loop, a velocity or a budget lowered.",
                SHARE,
                bad_above(0.05, 0.25),
                1,
            ),
            Query(f"({_count(where=_LOWERED)} or vector(0)) / ({_count()} > 0)"),
        ),
    )


def _count(by: str = "", where: str = "") -> str:
    return increase("farebox_decisions_total", by, where)


def _over_time() -> model.Panel:
    window = "$__interval"
    return lines(
        About(
            "Paid, and what it would have cost",
            "Per point: what routed requests cost, and what the same tokens would have cost otherwise.",
            USD,
            least=0,
        ),
        Query(increase(_PAID, window=window), "paid", "20m"),
        Query(increase(_STRONGEST, window=window), "at the strongest candidate", "20m"),
        Query(increase(_ASKED, window=window), "at the model asked for, where one was", "20m"),
    )


def _by_agent() -> model.Panel:
    by = "team, agent"
    paid, strongest = increase(_PAID, by), increase(_STRONGEST, by)
    return table_of(
        About("Savings by agent", "What routing saved for whom in the range, against the strongest candidate.", USD),
        (Column("agent", "Agent", link=frame.agent_url("__value.raw")), Column("team", "Team")),
        (
            (Column("", "Paid", USD), paid),
            (Column("", "At the strongest", USD), strongest),
            (Column("", "Saved", USD, _SAVED), f"{strongest} - {paid}"),
            (Column("", "Saved in %", SHARE, _SAVED), f"1 - {paid} / ({strongest} > 0)"),
        ),
        "Saved",
    )


def _decisions() -> tuple[model.Panel, ...]:
    return (
        stacked(
            About(
                "Decisions, by rule", "Which rule of which policy chose the model. Not split by agent.", COUNT, least=0
            ),
            Query(increase("farebox_decisions_total", "policy, rule", "", "$__interval"), "{{policy}}: {{rule}}", "5m"),
        ),
        pie(
            About(
                "Decisions, by tier",
                "Which tier the chosen model belongs to; empty: a rule named models itself.",
                COUNT,
            ),
            Query(_count("tier"), "{{tier}}"),
        ),
        stacked(
            About("Weaker models, by reason", "Decisions that a loop, a velocity or a budget lowered.", COUNT, least=0),
            Query(increase("farebox_decisions_total", "downgraded", _LOWERED, "$__interval"), "{{downgraded}}", "5m"),
        ),
    )


def _where_money_goes() -> tuple[model.Panel, ...]:
    return (
        stacked(
            About("Cost by model", "Where the money goes, routed or not.", USD, least=0),
            Query(spent("model", window="$__interval"), "{{model}}", "20m"),
        ),
        stacked(
            About("Cost by provider", "The same by who sends the bill.", USD, least=0),
            Query(spent("provider", window="$__interval"), "{{provider}}", "20m"),
        ),
    )


def _trials() -> tuple[model.Panel, ...]:
    return (
        table_of(
            About(
                "Experiments",
                "Requests in each arm, in the range. What an arm costs and how good it is: farebox backtest.",
                COUNT,
            ),
            (Column("policy", "Policy"), Column("arm", "Arm")),
            ((Column("", "Requests"), increase("farebox_experiments_total", "policy, arm", "")),),
            "Requests",
        ),
        stacked(
            About("Shadow rules", "What rules that are only watched would have done.", COUNT, least=0),
            Query(
                increase("farebox_shadow_decisions_total", "rule, would", "", "$__interval"),
                "{{rule}}: {{would}}",
                "5m",
            ),
        ),
        lines(
            About(
                "Conditions that failed",
                "Rules whose condition failed at run time and so did not match. Should be nothing.",
                COUNT,
                bad_above(1, 10),
                least=0,
            ),
            Query(
                increase("farebox_failed_conditions_total", "policy, rule", "", "$__interval"),
                "{{policy}}: {{rule}}",
                "5m",
            ),
        ),
    )
