"""Scopes: what a budget or a limit applies to, and the labels of a request that decide whether it does. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

ScopeKind = Literal["global", "org", "team", "agent", "run", "user", "tag", "model", "provider", "deployment"]

EACH = "*"
"""The value of a scope that keeps one counter per value."""
SHARED = "(none)"
"""The counter of requests without a value, under `when_missing: shared`. No id may contain brackets."""


class Labels(NamedTuple):
    """What scopes look at. `user`, `tags` and runs come from the client, all else from the key and the route."""

    org: str
    team: str
    agent: str
    model: str
    """The configured model's name."""
    provider: str
    runs: tuple[str, ...] = ()
    """The run and its ancestors, the nearest first, each as `agent/run`."""
    user: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    deployment: str = ""
    """Its id, `provider/upstream-model`."""


class Scope(NamedTuple):
    """What a budget or limit applies to."""

    kind: ScopeKind
    value: str = ""
    """An id; `*` for one counter per value; empty for `global`."""
    tag: str = ""
    """The tag's name, of a tag scope."""

    def __str__(self) -> str:
        if self.kind == "global":
            return "global"
        return f"tag:{self.tag}={self.value}" if self.kind == "tag" else f"{self.kind}:{self.value}"

    def values(self, labels: Labels) -> tuple[str, ...] | None:
        """The counters that a request counts in: usually one; a run scope has one per ancestor. None comes twice.

        Empty when the scope is somebody else's; None when the request does not say what the scope needs to know.
        """
        if self.kind == "global":
            return ("",)
        found = self._found(labels)
        if not found:
            return None if self.value == EACH else ()
        return found if self.value == EACH else tuple(value for value in found if value == self.value)

    def _found(self, labels: Labels) -> tuple[str, ...]:
        if self.kind == "run":
            return labels.runs
        if self.kind == "tag":
            return tuple(dict.fromkeys(value for name, value in labels.tags if name == self.tag))
        value: str | None = getattr(labels, self.kind)
        return (value,) if value else ()

    def describe(self, value: str) -> str:
        """The scope of one counter, as errors name it: `agent:researcher`, `tag:feature=search`."""
        if self.kind == "global":
            return "global"
        return f"tag:{self.tag}={value}" if self.kind == "tag" else f"{self.kind}:{value}"
