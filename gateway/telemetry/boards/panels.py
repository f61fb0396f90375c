"""Panels that show numbers. Each needs a title, a description and a unit, so that nobody has to guess what it means.

Colours are Grafana's named ones, which have a shade for the light theme and one for the dark. Grafana's own schema is
in grafana-foundation-sdk's types, so that a field that it does not know is not written.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, piechart, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import prometheus as prom
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.piechart import PieChartLegendOptions, PieChartLegendValues, PieChartType
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

T = TypeVar("T")

USD: Final = "currencyUSD"
SHARE: Final = "percentunit"
SECONDS: Final = "s"
COUNT: Final = "short"
PER_SECOND: Final = "reqps"

PROMETHEUS: Final = model.DataSourceRef("prometheus", "${prometheus}")
"""The data source that the variable at the top of a board names."""


class Step(NamedTuple):
    """From `value` on (None: from the bottom) a number has this colour."""

    value: float | None
    color: str


PLAIN: Final = (Step(None, "blue"),)


def bad_above(warn: float, bad: float) -> tuple[Step, ...]:
    """Green, orange from `warn` on, red from `bad` on."""
    return Step(None, "green"), Step(warn, "orange"), Step(bad, "red")


def bad_below(warn: float, bad: float) -> tuple[Step, ...]:
    """Green down to `warn`, orange down to `bad`, red below."""
    return Step(None, "red"), Step(bad, "orange"), Step(warn, "green")


class About(NamedTuple):
    """What every panel says of itself."""

    title: str
    description: str
    unit: str = COUNT
    steps: tuple[Step, ...] = PLAIN
    decimals: int | None = None
    least: float | None = None
    """Where its axis begins, where it has one."""
    most: float | None = None


class Query(NamedTuple):
    """A PromQL expression, and the name of its series: `{{agent}}` is a label's value."""

    expr: str
    legend: str = ""
    min_step: str = ""
    """At least so much time lies between two points, and `$__interval` is at least so long."""


def stat_of(
    about: About, query: Query, *, time_from: str = "", links: tuple[Builder[model.DashboardLink], ...] = ()
) -> model.Panel:
    """One number now. `time_from` such as `now/d` is its own time range, whatever the board's is."""
    panel = (
        stat.Panel()
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .reduce_options(_last())
        .with_target(target(query, instant=True))
    )
    if time_from:
        panel = panel.time_from(time_from)
    return dress(panel.build(), about, links=links)


def lines(about: About, *queries: Query, percentile: bool = False) -> model.Panel:
    """Lines over time."""
    panel = _over_time(queries).line_width(2).fill_opacity(0 if percentile else 8)
    return dress(panel.build(), about, color=model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)


def stacked(about: About, *queries: Query, colors: tuple[tuple[str, str], ...] = ()) -> model.Panel:
    """Bars over time, one series on the other: parts of a whole. `colors` gives series by name a fixed one."""
    panel = (
        _over_time(queries)
        .draw_style(kinds.GraphDrawStyle.BARS)
        .line_width(0)
        .fill_opacity(80)
        .stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    )
    for name, color in colors:
        panel = panel.override_by_name(name, [_fixed(color)])
    return dress(panel.build(), about, color=model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)


def ranking(about: About, query: Query, *, links: tuple[Builder[model.DashboardLink], ...] = ()) -> model.Panel:
    """Horizontal bars, the largest first: the query sorts and cuts (`topk`)."""
    panel = (
        bargauge.Panel()
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .value_mode(kinds.BarGaugeValueMode.TEXT)
        .name_placement(kinds.BarGaugeNamePlacement.LEFT)
        .show_unfilled(False)
        .reduce_options(_last())
        .with_target(target(query, instant=True))
    )
    about = about._replace(least=0 if about.least is None else about.least)
    return dress(panel.build(), about, links=links)


def pie(about: About, query: Query, *, colors: tuple[tuple[str, str], ...] = ()) -> model.Panel:
    """Parts of a whole, now."""
    legend = PieChartLegendOptions(
        values=[PieChartLegendValues.PERCENT, PieChartLegendValues.VALUE],
        display_mode=kinds.LegendDisplayMode.TABLE,
        placement=kinds.LegendPlacement.RIGHT,
        show_legend=True,
        calcs=[],
    )
    panel = piechart.Panel().pie_type(PieChartType.DONUT).legend(Ready(legend)).reduce_options(_last())
    panel = panel.with_target(target(query, instant=True))
    for name, color in colors:
        panel = panel.override_by_name(name, [_fixed(color)])
    return dress(panel.build(), about, color=model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)


def states(about: About, query: Query, names: dict[str, tuple[str, str]]) -> model.Panel:
    """Which state something was in, over time. `names`: a value's text and colour."""
    mapping = model.ValueMap({value: model.ValueMappingResult(*shown) for value, shown in names.items()})
    panel = (
        statetimeline.Panel()
        .merge_values(True)
        .row_height(0.8)
        .fill_opacity(75)
        .line_width(0)
        .mappings([mapping])
        .with_target(target(query))
    )
    return dress(panel.build(), about)


def target(query: Query, ref: str = "A", *, instant: bool = False, table: bool = False) -> prom.Dataquery:
    """A query as Grafana keeps it."""
    made = prom.Dataquery().ref_id(ref).expr(query.expr).datasource(PROMETHEUS)
    made = made.instant() if instant else made.range()
    made = made.format(PromQueryFormat.TABLE if table else PromQueryFormat.TIME_SERIES)
    if query.legend:
        made = made.legend_format(query.legend)
    if query.min_step:
        made = made.interval(query.min_step)
    return made


def dress(
    panel: model.Panel,
    about: About,
    *,
    color: model.FieldColorModeId = model.FieldColorModeId.THRESHOLDS,
    links: tuple[Builder[model.DashboardLink], ...] = (),
) -> model.Panel:
    """Give a panel what every one has."""
    panel.title, panel.description = about.title, about.description
    panel.datasource = panel.datasource or PROMETHEUS
    if panel.field_config is None:
        panel.field_config = model.FieldConfigSource()
    defaults = panel.field_config.defaults
    defaults.unit, defaults.decimals = about.unit, about.decimals
    defaults.min_val, defaults.max_val = about.least, about.most
    defaults.no_value = "no data"
    defaults.color = model.FieldColor(mode=color)
    steps = [model.Threshold(step.value, step.color) for step in about.steps]
    defaults.thresholds = model.ThresholdsConfig(model.ThresholdsMode.ABSOLUTE, steps)
    if links:
        defaults.links = [link.build() for link in links]
    return panel


class Ready(Builder[T]):
    """What is built already, for builders that want builders."""

    def __init__(self, what: T) -> None:
        self._what = what

    def build(self) -> T:
        """It."""
        return self._what


def _over_time(queries: tuple[Query, ...]) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(kinds.LegendDisplayMode.LIST)
        .placement(kinds.LegendPlacement.BOTTOM)
        .calcs([])
    )
    tooltip = common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)
    panel = timeseries.Panel().legend(legend).tooltip(tooltip).show_points(kinds.VisibilityMode.NEVER)
    for ref, query in zip("ABCDEFGH", queries, strict=False):
        panel = panel.with_target(target(query, ref))
    return panel


def _last() -> Builder[kinds.ReduceDataOptions]:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)


def _fixed(color: str) -> model.DynamicConfigValue:
    return model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})
