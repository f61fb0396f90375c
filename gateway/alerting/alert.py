"""An alert: what is wrong, whose it is, and where to look. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

Kind = Literal["budget", "loop", "runaway", "breaker", "credentials", "test"]
Severity = Literal["info", "warning", "critical"]
Status = Literal["firing", "resolved"]


class Subject(NamedTuple):
    """Whom and what an alert is about. Empty: that has no part in it."""

    org: str = ""
    team: str = ""
    agent: str = ""
    run: str = ""
    """`agent/run`."""
    user: str = ""
    budget: str = ""
    scope: str = ""
    """A budget's counter: `agent:researcher`."""
    breaker: str = ""
    """A deployment's id, or a provider's name."""
    provider: str = ""


class Alert(NamedTuple):
    """Something that people should know."""

    kind: Kind
    key: str
    """The same for all that is the same news: told once in a while."""
    title: str
    """One line."""
    text: str
    """What happened, how much, and what can be done."""
    subject: Subject
    at_s: float
    """Unix time."""
    severity: Severity = "warning"
    status: Status = "firing"
    details: tuple[tuple[str, str], ...] = ()
    """Names and values: amounts as decimals."""
    links: tuple[tuple[str, str], ...] = ()
    """Names and URLs."""
    decided: bool = False
    """It is certain already that no other gateway tells it."""


TEXTS: Final = 500
"""Names that clients chose are cut to so many characters."""


def with_links(alert: Alert, templates: Sequence[tuple[str, str]]) -> Alert:
    """The alert with the links that it has everything for."""
    values = {name: value for name, value in alert.subject._asdict().items() if value}
    links = [(name, url) for name, template in templates if (url := _fill(template, values)) is not None]
    return alert._replace(links=(*alert.links, *links))


def _fill(template: str, values: Mapping[str, str]) -> str | None:
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", quote(value, safe=""))
    return None if any(f"{{{name}}}" in template for name in Subject._fields) else template
