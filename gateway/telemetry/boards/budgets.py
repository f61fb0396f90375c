"""Who runs out of money, and when; whom budgets refused."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as model

from gateway.telemetry.boards import frame
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
    bad_below,
    lines,
    ranking,
    stacked,
    stat_of,
)
from gateway.telemetry.boards.queries import AGENTS, increase, quantile, rate
from gateway.telemetry.boards.tables import Column, table_of

HEAD: Final = Head("farebox-budgets", "Budgets", "Who runs out of money, and when; whom budgets refused.", "now-24h")
LEFT: Final = bad_below(0.25, 0.1)
_BY: Final = "budget, scope, window, mode"
_BURN: Final = bad_above(1, 2)


def build() -> model.Dashboard:
    """The board."""
    variables = (frame.prometheus(), *frame.labels("org", "team", "agent"))
    return frame.board(
        HEAD,
        variables,
        (
            Section("Now", (Line(4, _now()),)),
            Section("Who runs out when", (Line(11, (who_runs_out(AGENTS),)), Line(9, (_left(), _used())))),
            Section("How fast it goes", (Line(9, _pace()),)),
            Section("What budgets did", (Line(9, _refused()), Line(8, (_reserved(),)))),
        ),
    )


def gauge(name: str, where: str) -> str:
    """A budget's number. Every gateway says it alike."""
    return f"max by ({_BY}) (farebox_budget_{name}{{{where}}})"


def runs_out_in(where: str) -> str:
    """Seconds until a budget is used up at its window's pace; nothing where it lasts until the window ends."""
    left = f"clamp_min({gauge('remaining_ratio', where)}, 0) * {gauge('limit_usd', where)}"
    passed_s = f"(time() - {gauge('window_start_timestamp_seconds', where)})"
    seconds = f"({left}) * {passed_s} / ({gauge('posted_usd', where)} > 0)"
    return f"{seconds} < {_ends_in(where)}"


def who_runs_out(where: str) -> model.Panel:
    """Every budget with what is left of it, the emptiest first."""
    return table_of(
        About(
            "Who runs out when",
            "Budgets in their present windows, the emptiest first. Runs out: when nothing will be left if it goes on"
            " as it went in this window so far; empty where it lasts until the window ends, and where there is no end.",
            USD,
        ),
        (
            Column("budget", "Budget"),
            Column("scope", "Scope"),
            Column("window", "Window"),
            Column("mode", "Mode"),
        ),
        (
            (Column("", "Limit", USD), gauge("limit_usd", where)),
            (Column("", "Spent", USD), gauge("posted_usd", where)),
            (Column("", "Reserved", USD), gauge("reserved_usd", where)),
            (Column("", "Left", SHARE, LEFT), gauge("remaining_ratio", where)),
            (Column("", "Burn", COUNT, _BURN), gauge("burn_ratio", where)),
            (Column("", "Projected", USD), gauge("projected_usd", where)),
            (Column("", "Runs out in", SECONDS, bad_below(86_400, 3_600)), runs_out_in(where)),
            (Column("", "Begins anew in", SECONDS), _ends_in(where)),
        ),
        "-Left",
    )


def _ends_in(where: str) -> str:
    return f"({gauge('window_end_timestamp_seconds', where)} - time())"


def _now() -> tuple[model.Panel, ...]:
    enforced = f'{AGENTS},mode="enforce"'
    low = f"count({gauge('remaining_ratio', enforced)} < 0.1) or vector(0)"
    over = f"count({gauge('projected_usd', enforced)} > {gauge('limit_usd', enforced)}) or vector(0)"
    refused = increase("farebox_limits_total", where=f'{AGENTS},kind="refused",reason="budget_exceeded"')
    return (
        stat_of(
            About("Nearly gone", "Enforced budgets with less than a tenth left.", COUNT, bad_above(1, 3)), Query(low)
        ),
        stat_of(
            About(
                "Forecast over", "Enforced budgets that will not last at their present pace.", COUNT, bad_above(1, 3)
            ),
            Query(over),
        ),
        stat_of(
            About("Refused", "Requests that a used-up budget refused in the range.", COUNT, bad_above(1, 100), 0),
            Query(f"{refused} or vector(0)"),
        ),
        stat_of(
            About(
                "Overrun",
                "Billed beyond what was reserved, in the range: what a provider charged beyond its declared bounds.",
                USD,
                bad_above(0.01, 1),
            ),
            Query(f"{increase('farebox_overrun_usd_total')} or vector(0)"),
        ),
        stat_of(
            About("Orphaned", "Charged in full in the range because a gateway was lost.", USD, bad_above(0.01, 1)),
            Query(f"{increase('farebox_orphaned_usd_total')} or vector(0)"),
        ),
    )


def _left() -> model.Panel:
    return ranking(
        About(
            "Least left", "What may still be spent, of the limit: the fifteen emptiest budgets.", SHARE, LEFT, most=1
        ),
        Query(f"sort(bottomk(15, {gauge('remaining_ratio', AGENTS)}))", "{{budget}} {{scope}}"),
    )


def _used() -> model.Panel:
    return lines(
        About(
            "Spent, of the limit",
            "How full each budget is. It falls back to nothing when a window begins.",
            SHARE,
            least=0,
        ),
        Query(f"{gauge('posted_usd', AGENTS)} / ({gauge('limit_usd', AGENTS)} > 0)", "{{budget}} {{scope}}"),
    )


def _pace() -> tuple[model.Panel, ...]:
    return (
        lines(
            About(
                "Burn in this window",
                "1 spends exactly the limit by the window's end, 2 twice as much. From the window's beginning on.",
                COUNT,
                _BURN,
                least=0,
            ),
            Query(gauge("burn_ratio", AGENTS), "{{budget}} {{scope}}"),
        ),
        lines(
            About(
                "Burn in the last hour",
                "The same for the last hour alone, which the alerts look at. Shows a runaway before the window does.",
                COUNT,
                bad_above(3, 10),
                least=0,
            ),
            Query(f"max by ({_BY}) (farebox:budget_burn:ratio1h{{{AGENTS}}})", "{{budget}} {{scope}}"),
        ),
    )


def _refused() -> tuple[model.Panel, ...]:
    return (
        stacked(
            About(
                "Refused, by limit and reason",
                "Requests that a budget, a rate or a run's limit refused.",
                COUNT,
                least=0,
            ),
            Query(
                increase("farebox_limits_total", "limit, reason", f'{AGENTS},kind="refused"', "$__interval"),
                "{{limit}} {{reason}}",
                "5m",
            ),
        ),
        lines(
            About(
                "Waited, clamped, or would have been refused",
                "Requests that waited for others' reservations, got a shorter answer, or that a rule in shadow mode"
                " would have refused.",
                PER_SECOND,
                least=0,
            ),
            Query(rate("farebox_limits_total", "kind", f'{AGENTS},kind!="refused"'), "{{kind}}"),
        ),
        lines(
            About("Waiting for money", "How long requests waited for money reserved by others.", SECONDS, least=0),
            Query(quantile(0.5, "farebox_queue_wait_seconds"), "median"),
            Query(quantile(0.95, "farebox_queue_wait_seconds"), "95%"),
            percentile=True,
        ),
    )


def _reserved() -> model.Panel:
    return lines(
        About("Set aside", "What requests under way have reserved: money neither spent nor free.", USD, least=0),
        Query(gauge("reserved_usd", AGENTS), "{{budget}} {{scope}}"),
    )
