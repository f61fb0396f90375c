"""Labels of a request: those that an agent's clients must send, and the run that a key stands for. Pure."""

from __future__ import annotations

from typing import Final

from gateway.config.snapshot import Agent
from gateway.errors import MissingField
from gateway.identity.attribution import Attribution
from gateway.identity.keys import Principal

_HEADERS: Final = {"run": "x-farebox-run", "user": "x-farebox-user", "session": "x-farebox-session"}


def header_of(label: str) -> str:
    """The header that carries a label: `user`, `run`, `session`, or `tag:<name>`."""
    return _HEADERS.get(label, "x-farebox-tags")


def describe(label: str) -> str:
    """A label in words."""
    return f"the tag `{label.removeprefix('tag:')}`" if label.startswith("tag:") else f"a {label}"


def check_labels(agent: Agent, attribution: Attribution) -> None:
    """Raises MissingField when the request lacks a label that its agent requires."""
    for label in sorted(agent.requires):
        if not _has(attribution, label):
            header = header_of(label)
            raise MissingField(
                f"The agent `{agent.id}` must send {describe(label)}: add the header `{header}`.", param=header
            )


def in_run_of(principal: Principal, attribution: Attribution) -> Attribution:
    """A request's labels with the run of its key, where it names no other."""
    if principal.run is None or attribution.run is not None:
        return attribution
    return attribution._replace(run=principal.run.partition("/")[2])


def label_of(agent: Agent, attribution: Attribution) -> str:
    """The path of a run that is a mere label: nothing limits it, so that the store does not know it."""
    return f"{agent.id}/{attribution.run}" if attribution.run else ""


def _has(attribution: Attribution, label: str) -> bool:
    if label.startswith("tag:"):
        name = label.removeprefix("tag:")
        return any(tag == name for tag, _ in attribution.tags)
    return getattr(attribution, label) is not None
