"""What every board has: data sources, variables, links to the other boards, and panels in lines."""

from __future__ import annotations

from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from gateway.telemetry.boards.panels import PROMETHEUS, Ready
from gateway.telemetry.boards.tables import JOURNAL

TAG: Final = "farebox"
WIDTH: Final = 24
Variable = Builder[model.VariableModel]


class Line(NamedTuple):
    """Panels side by side."""

    height: int
    panels: tuple[model.Panel, ...]
    widths: tuple[int, ...] = ()
    """Of 24 columns; empty shares them out alike."""


class Section(NamedTuple):
    """A heading and the lines under it."""

    title: str
    lines: tuple[Line, ...]


class Head(NamedTuple):
    """What a board is called, and what it is for."""

    uid: str
    title: str
    description: str
    since: str
    """Its time range when it is opened, such as `now-7d`."""


def board(head: Head, variables: tuple[Variable, ...], sections: tuple[Section, ...]) -> model.Dashboard:
    """A whole board."""
    made = (
        build.Dashboard(f"Farebox / {head.title}")
        .uid(head.uid)
        .description(head.description)
        .tags([TAG])
        .time(head.since, "now")
        .timezone("browser")
        .refresh("1m")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(_boards())
    )
    for variable in variables:
        made = made.with_variable(variable)
    number = 0
    for section in sections:
        number += 1
        made = made.with_row(build.Row(section.title).id(number))
        for line in section.lines:
            widths = line.widths or _shares(len(line.panels))
            for panel, width in zip(line.panels, widths, strict=True):
                number += 1
                panel.id_val = number
                panel.grid_pos = model.GridPos(h=line.height, w=width)
                made = made.with_panel(Ready(panel))
    return made.build()


def prometheus() -> Variable:
    """Which Prometheus is asked: the default one, unless somebody chooses."""
    return build.DatasourceVariable("prometheus").label("Prometheus").type("prometheus")


def journal() -> Variable:
    """Which PostgreSQL holds the journal."""
    variable = build.DatasourceVariable("journal").label("Journal").type(str(JOURNAL.type_val))
    return variable.description("The journal's PostgreSQL. With the SQLite journal these panels stay empty.")


def labels(*names: str) -> tuple[Variable, ...]:
    """Variables of org, team, agent and model: any number of each, those above narrowing those below."""
    sources = {
        "org": "label_values(farebox_requests_total, org)",
        "team": 'label_values(farebox_requests_total{org=~"$org"}, team)',
        "agent": 'label_values(farebox_requests_total{org=~"$org",team=~"$team"}, agent)',
        "model": "label_values(farebox_cost_usd_total, model)",
    }
    return tuple(
        _query(name, sources[name])
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(text=["All"], value=["$__all"]))
        for name in names
    )


def one_agent() -> Variable:
    """One agent, no more."""
    return _query("agent", "label_values(farebox_requests_total, agent)")


def choice(name: str, label: str, values: tuple[str, ...]) -> Variable:
    """One of fixed words, the first unless somebody chooses."""
    options = [model.VariableOption(text=value, value=value, selected=value == values[0]) for value in values]
    variable = build.CustomVariable(name).label(label).values(",".join(values)).options(options)
    return variable.current(options[0])


def text(name: str, label: str, description: str) -> Variable:
    """A field to type into."""
    return build.TextBoxVariable(name).label(label).description(description).default_value("")


def to_agent(field: str) -> Builder[model.DashboardLink]:
    """From a bar or a cell to its agent's board. `field`: where its name is, such as `__field.labels.agent`."""
    return build.DashboardLink("Agent").url(agent_url(field))


def agent_url(field: str) -> str:
    """The agent's board, over the same time."""
    return f"/d/farebox-agent?var-agent=${{{field}}}&${{__url_time_range}}"


def _shares(panels: int) -> tuple[int, ...]:
    """The width of each, all of it used: a line that is too short would draw the next panel up into it."""
    each, left = divmod(WIDTH, panels)
    return tuple(each + (place < left) for place in range(panels))


def _query(name: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(name.capitalize())
        .datasource(PROMETHEUS)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _boards() -> Builder[model.DashboardLink]:
    """A link to each of the other boards, with what is chosen."""
    return (
        build.DashboardLink("Boards")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )
