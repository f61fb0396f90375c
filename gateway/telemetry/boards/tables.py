"""Tables, out of several instant queries of Prometheus or one of the journal's database."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self

from grafana_foundation_sdk.builders import common, table, timeseries
from grafana_foundation_sdk.cog import runtime, variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model

from gateway.telemetry.boards.panels import About, Query, Ready, Step, dress, target

JOURNAL: Final = model.DataSourceRef("grafana-postgresql-datasource", "${journal}")
_REFS: Final = "ABCDEFGHIJKL"


class Column(NamedTuple):
    """A column: the query's field, its heading, and how it is shown."""

    field: str
    heading: str
    unit: str = ""
    steps: tuple[Step, ...] = ()
    link: str = ""
    """Where a click leads; `${__value.raw}` is the cell's value."""


def table_of(
    about: About, labels: tuple[Column, ...], values: tuple[tuple[Column, str], ...], sort: str
) -> model.Panel:
    """A row for each combination of labels, a column for each query; `values` come with their expressions.

    `sort` is the heading of the column whose largest values come first; `-heading` the smallest first.
    """
    panel = _table(sort)
    columns = list(labels)
    for ref, (column, expr) in zip(_REFS, values, strict=False):
        panel = panel.with_target(target(Query(expr), ref, instant=True, table=True))
        columns.append(column._replace(field=f"Value #{ref}" if len(values) > 1 else "Value"))
    panel = panel.with_transformation(model.DataTransformerConfig("merge", options={}))
    order = {column.field: place for place, column in enumerate(columns)}
    names = {column.field: column.heading for column in columns}
    organize = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names}
    panel = panel.with_transformation(model.DataTransformerConfig("organize", options=organize))
    return dress(_overridden(panel, columns).build(), about)


def rows_of(about: About, sql: str, columns: tuple[Column, ...], sort: str) -> model.Panel:
    """A query of the journal as a table. The query names its columns by their headings."""
    panel = _table(sort).datasource(JOURNAL).with_target(Ready(SqlQuery(sql, "table")))
    return dress(_overridden(panel, columns).build(), about)


def series_of(about: About, sql: str, *, stacked: bool) -> model.Panel:
    """A query of the journal over time: a column `time`, and one for each series, or one `metric` that names it."""
    panel = timeseries.Panel().datasource(JOURNAL).with_target(Ready(SqlQuery(sql, "time_series")))
    if stacked:
        panel = panel.draw_style(kinds.GraphDrawStyle.BARS).line_width(0).fill_opacity(80)
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    else:
        panel = panel.line_width(2).show_points(kinds.VisibilityMode.ALWAYS)
    return dress(panel.build(), about, color=model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)


class SqlQuery(variants.Dataquery):
    """A query of Grafana's PostgreSQL data source, of which the SDK has no type. `form`: `table` or `time_series`."""

    FIELDS: Final = ("datasource", "editorMode", "format", "rawQuery", "rawSql", "refId")

    def __init__(self, sql: str, form: str, ref: str = "A") -> None:
        self.sql, self.form, self.ref = sql, form, ref

    def to_json(self) -> dict[str, object]:
        """As Grafana keeps it."""
        return {
            "datasource": JOURNAL,
            "editorMode": "code",
            "format": self.form,
            "rawQuery": True,
            "rawSql": self.sql,
            "refId": self.ref,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read it again. Raises KeyError when something is missing."""
        return cls(data["rawSql"], data["format"], data["refId"])


def register() -> None:
    """Let the SDK read such queries again."""
    runtime.register_dataquery_variant(runtime.DataqueryConfig(str(JOURNAL.type_val), SqlQuery.from_json))


def _table(sort: str) -> table.Panel:
    by = common.TableSortByFieldState().display_name(sort.removeprefix("-")).desc(not sort.startswith("-"))
    footer: Builder[kinds.TableFooterOptions] = common.TableFooterOptions().show(False).enable_pagination(True)
    return table.Panel().sort_by([by]).footer(footer).cell_height(kinds.TableCellHeight.SM).show_header(True)


def _overridden(panel: table.Panel, columns: list[Column] | tuple[Column, ...]) -> table.Panel:
    for column in columns:
        properties: list[model.DynamicConfigValue] = []
        if column.unit:
            properties.append(model.DynamicConfigValue("unit", column.unit))
        if column.steps:
            steps = [model.Threshold(step.value, step.color) for step in column.steps]
            thresholds = model.ThresholdsConfig(model.ThresholdsMode.ABSOLUTE, steps)
            properties.append(model.DynamicConfigValue("thresholds", thresholds))
            properties.append(model.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
        if column.link:
            properties.append(model.DynamicConfigValue("links", [{"title": "Look closer", "url": column.link}]))
        if properties:
            panel = panel.override_by_name(column.heading, properties)
    return panel
