"""Who spends what: today, this month, at the month's end, and what changed since last week."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as model

from gateway.telemetry.boards import frame
from gateway.telemetry.boards.frame import Head, Line, Section
from gateway.telemetry.boards.panels import (
    SHARE,
    USD,
    About,
    Query,
    Step,
    bad_above,
    pie,
    ranking,
    stacked,
    stat_of,
)
from gateway.telemetry.boards.queries import SPEND, WASTED, forecast, share, spent
from gateway.telemetry.boards.tables import Column, table_of

HEAD: Final = Head(
    "farebox-spend", "Spend", "What agents cost: now, this month, by whom, on what, and what changed.", "now-7d"
)
GROUPS: Final = ("agent", "model", "team", "org", "purpose", "provider")
PURPOSE_COLORS: Final = (
    ("useful", "green"),
    ("fallback", "blue"),
    ("retry", "yellow"),
    ("hedge", "purple"),
    ("cancelled", "orange"),
    ("failed", "red"),
    ("loop", "dark-red"),
    ("unverified", "dark-orange"),
)
_COUNTED = "From Prometheus, to within a minute or ten; what is billed is in the journal's reports."
_CHANGE = (Step(None, "green"), Step(0, "text"), Step(0.25, "orange"), Step(1, "red"))


def build() -> model.Dashboard:
    """The board."""
    variables = (frame.prometheus(), *frame.labels("org", "team", "agent", "model"))
    by = frame.choice("by", "Split by", GROUPS)
    return frame.board(
        HEAD,
        (*variables, by),
        (
            Section("Now", (Line(5, _now()),)),
            Section(
                "Who, and on what", (Line(9, (_over_time(),)), Line(9, (_agents(), _models())), Line(8, _shares()))
            ),
            Section("What changed", (Line(10, (_movers(),)),)),
        ),
    )


def _now() -> tuple[model.Panel, ...]:
    day, week_ago = spent(window="1d", metric=SPEND), spent(window="1d", ago="1w")
    wasted = spent(where=f'org=~"$org",team=~"$team",agent=~"$agent",model=~"$model",purpose=~"{WASTED}"')
    return (
        stat_of(
            About("Today", f"Spent since midnight of your time zone. {_COUNTED}", USD),
            Query(spent(metric=SPEND)),
            time_from="now/d",
        ),
        stat_of(
            About("Month to date", f"Spent since the month began. {_COUNTED}", USD), Query(spent()), time_from="now/M"
        ),
        stat_of(
            About(
                "Forecast for the month",
                "The month to date, and the rest of it at the pace of the last seven days (months end by UTC).",
                USD,
            ),
            Query(forecast()),
            time_from="now/M",
        ),
        stat_of(
            About(
                "Against a week ago",
                "How much more (or less) the last 24 hours cost than the same 24 hours a week before.",
                SHARE,
                _CHANGE,
                1,
            ),
            Query(f"{day} / ({week_ago} > 0) - 1"),
        ),
        stat_of(About("In this time range", f"Spent in the time range chosen above. {_COUNTED}", USD), Query(spent())),
        stat_of(
            About(
                "Wasted",
                "Share of the range's money that bought no answer anybody wanted: cancelled, failed, loop, unverified.",
                SHARE,
                bad_above(0.05, 0.15),
                1,
            ),
            Query(share(wasted, spent())),
        ),
    )


def _over_time() -> model.Panel:
    return stacked(
        About(
            "Spend over time, by $by",
            "Money per bar, split by what is chosen above. A bar is an hour or longer, as the range asks for.",
            USD,
            least=0,
        ),
        Query(spent("$by", window="$__interval"), "{{$by}}", "1h"),
        colors=PURPOSE_COLORS,
    )


def _agents() -> model.Panel:
    return ranking(
        About("Agents that cost most", "The ten dearest agents of the range. Click one for its own board.", USD),
        Query(f"sort_desc(topk(10, {spent('agent')}))", "{{agent}}"),
        links=(frame.to_agent("__field.labels.agent"),),
    )


def _models() -> model.Panel:
    return ranking(
        About("Models that cost most", "The ten dearest models of the range, whoever called them.", USD),
        Query(f"sort_desc(topk(10, {spent('model')}))", "{{model}}"),
    )


def _shares() -> tuple[model.Panel, ...]:
    return (
        pie(About("By org", "How the range's money divides between orgs.", USD), Query(spent("org"), "{{org}}")),
        pie(About("By team", "How the range's money divides between teams.", USD), Query(spent("team"), "{{team}}")),
        pie(
            About(
                "By purpose",
                "What the money was good for: all but useful is waste, or the price of an answer that came after all.",
                USD,
            ),
            Query(spent("purpose") + " > 0", "{{purpose}}"),
            colors=PURPOSE_COLORS,
        ),
    )


def _movers() -> model.Panel:
    by = "org, team, agent"
    now, before = spent(by, window="1d"), spent(by, window="1d", ago="1w")
    change = f"{now} - ({before} or {now} * 0)"
    return table_of(
        About(
            "Top movers: the last 24 hours against the same a week ago",
            "What each agent spent in the last 24 hours, and in the same 24 hours a week before (if it was there).",
            USD,
        ),
        (
            Column("agent", "Agent", link=frame.agent_url("__value.raw")),
            Column("team", "Team"),
            Column("org", "Org"),
        ),
        (
            (Column("", "Last 24 hours", USD), now),
            (Column("", "A week ago", USD), before),
            (Column("", "Change", USD, (Step(None, "green"), Step(0, "text"), Step(0.01, "orange"))), change),
            (Column("", "Change in %", SHARE, _CHANGE), f"({now}) / ({before} > 0) - 1"),
        ),
        "Change",
    )
