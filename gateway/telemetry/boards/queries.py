"""Pieces of queries that boards share. Money comes from the recorded minutes of dashboards/prometheus/rules.yaml."""

from __future__ import annotations

from typing import Final

from gateway.telemetry import names

SPEND: Final = "farebox:cost_usd:increase1m"
"""What was spent in each minute, by org, team, agent, model, provider and purpose. For a day at most."""
SPEND_10M: Final = "farebox:cost_usd:increase10m"
"""The same in ten minutes: for weeks and months, which would be too many samples otherwise."""
SECONDS_10M: Final = 600

WASTED: Final = "|".join(names.WASTED)
"""Purposes of money that bought no answer anybody wanted, as a regular expression."""

AGENTS: Final = 'org=~"$org",team=~"$team",agent=~"$agent"'
"""Selects by the variables at the top of a board."""
OFFERS: Final = AGENTS + ',model=~"$model"'
ONE_AGENT: Final = 'agent="$agent"'

MONTH_LEFT_S: Final = "(days_in_month() - day_of_month() + 1) * 86400 - hour() * 3600 - minute() * 60"
"""Seconds until the month (UTC) is over."""

_SECONDS: Final = {"$__range": "$__range_s", "$__interval": "$__interval_ms / 1000", "30m": "1800"}

FROM_US: Final = "$__unixEpochFrom()::bigint * 1000000"
TO_US: Final = "$__unixEpochTo()::bigint * 1000000"


def spent(
    by: str = "", where: str = OFFERS, window: str = "$__range", *, metric: str = SPEND_10M, ago: str = ""
) -> str:
    """What was spent in a window, in USD: in all, or by labels such as `agent` or `team, agent`; `ago` such as `1w`."""
    offset = f" offset {ago}" if ago else ""
    return f"{_sum(by)}(sum_over_time({metric}{{{where}}}[{window}]{offset}))"


def rate(metric: str, by: str = "", where: str = AGENTS, window: str = "$__rate_interval") -> str:
    """How often something happens, per second."""
    return f"{_sum(by)}(rate({metric}{{{where}}}[{window}]))"


def increase(metric: str, by: str = "", where: str = AGENTS, window: str = "$__range") -> str:
    """How often something happened in a window, about: by Prometheus' increase(), and a counter's first value.

    increase() does not see that one: a breaker's first opening would never be shown. A counter that was not there when
    the window began counts in full, if its gateway was watched by then or has started since.
    """
    selected = f"{metric}{{{where}}}"
    watched = f"(farebox_build_info offset {window} or process_start_time_seconds > time() - {_SECONDS[window]})"
    born = f"({selected} unless {selected} offset {window}) and on (job, instance) {watched}"
    return f"{_sum(by)}({born} or increase({selected}[{window}]))"


def share(part: str, whole: str) -> str:
    """`part` of `whole`; nothing where there is no whole, 0 where there is no part."""
    return f"({part} or {whole} * 0) / ({whole} > 0)"


def quantile(q: float, metric: str, by: str = "", where: str = AGENTS) -> str:
    """A quantile of a histogram, in its unit."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))"


def forecast(where: str = OFFERS) -> str:
    """What the month will have cost at the pace of the last seven days. Its time range has to be the month so far.

    The longest series tells how many of those seven days were recorded at all.
    """
    week = f"{SPEND_10M}{{{where}}}[7d]"
    pace = f"sum(sum_over_time({week})) / (max(count_over_time({week})) * {SECONDS_10M})"
    return f"{spent(where=where)} + {pace} * ({MONTH_LEFT_S})"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"
