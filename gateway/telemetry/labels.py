"""Which values a metric's label may take: ids that the configuration declares, and at most so many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

OTHER = "_other"
"""Stands for every value that has no series of its own."""


class Label:
    """One label of our metrics, shared by all metrics that carry it.

    A value that is not declared becomes `OTHER`, so that no client can make series. The first `max_values` declared
    ones that are seen get series; the rest become `OTHER` and are counted in `overflow`. An id that a reload removed
    keeps its series until a declared one needs the place.
    """

    def __init__(self, name: str, max_values: int, on_evicted: Callable[[str, str], None]) -> None:
        """`on_evicted(label, value)` is called when a removed id gives up its place."""
        self.name = name
        self.max_values = max_values
        self.overflow = 0
        """Events whose value was declared and still became `OTHER`."""
        self._known: frozenset[str] = frozenset()
        self._admitted: set[str] = set()
        self._on_evicted = on_evicted

    def set_known(self, values: Iterable[str]) -> None:
        """Declare the configured ids; takes the place of those declared before."""
        self._known = frozenset(values)

    def value(self, raw: str) -> str:
        """The label's value for `raw`. The empty string, nothing was reached or readable, is always itself."""
        if raw in self._admitted or not raw:
            return raw
        if raw not in self._known:
            return OTHER
        if not self.take(raw):
            self.overflow += 1
            return OTHER
        return raw

    def take(self, raw: str) -> bool:
        """Give `raw` series of its own, if it is declared and there is a place for it; False if not. Counts nothing."""
        if raw in self._admitted or not raw:
            return True
        if raw not in self._known or (len(self._admitted) >= self.max_values and not self._make_room()):
            return False
        self._admitted.add(raw)
        return True

    def admits(self, raw: str) -> bool:
        """Whether `raw` has series of its own, without giving it any."""
        return raw in self._admitted or not raw

    def _make_room(self) -> bool:
        retired = self._admitted - self._known
        if not retired:
            return False
        victim = min(retired)
        self._admitted.discard(victim)
        self._on_evicted(self.name, victim)
        return True


class Owner(NamedTuple):
    """Whose an agent is: the labels that every metric of agents carries."""

    org: str
    team: str
    agent: str


NOBODY: Final = Owner(OTHER, OTHER, OTHER)


class Owners:
    """From an agent's id to the labels of its series."""

    def __init__(self, labels: Mapping[str, Label]) -> None:
        self._labels = labels
        self._of: dict[str, Owner] = {}
        """As configured; those that a reload removed stay while they have series."""
        self._cached: dict[str, Owner] = {}
        self._orgs: dict[str, str] = {}

    def set_known(self, owners: Iterable[Owner]) -> None:
        """Declare the configured agents."""
        agents = self._labels["agent"]
        self._of = {name: owner for name, owner in self._of.items() if agents.admits(name)}
        self._of.update({owner.agent: owner for owner in owners})
        teams: dict[str, set[str]] = {}
        for owner in self._of.values():
            teams.setdefault(owner.team, set()).add(owner.org)
        self._orgs = {team: orgs.pop() if len(orgs) == 1 else "" for team, orgs in teams.items()}
        self._cached.clear()

    def forget(self) -> None:
        """Some id gave up its place."""
        self._cached.clear()

    def of(self, agent: str) -> Owner:
        """The labels of an agent; NOBODY for one that nobody configured, or that has no place."""
        found = self._cached.get(agent) or self._found(agent)
        if found is not None:
            return found
        label = self._labels
        owner = self._of.get(agent)
        if owner is None or label["agent"].value(agent) == OTHER:
            return NOBODY
        return Owner(label["org"].value(owner.org), label["team"].value(owner.team), agent)

    def _found(self, agent: str) -> Owner | None:
        owner, label = self._of.get(agent), self._labels
        if owner is None or not (label["agent"].take(agent) and self._takes(owner)):
            return None
        self._cached[agent] = owner
        return owner

    def _takes(self, owner: Owner) -> bool:
        return self._labels["org"].take(owner.org) and self._labels["team"].take(owner.team)

    # For gauges of scopes. An overflow is not counted: nothing happened.

    def of_agent_scope(self, agent: str) -> Owner | None:
        """The labels of an agent; None where it has no series of its own."""
        return self._cached.get(agent) or self._found(agent)

    def of_team_scope(self, team: str) -> Owner | None:
        """The labels of a whole team; its org is empty where several have a team of that name."""
        owner = Owner(self._orgs.get(team, ""), team, "")
        return owner if self._takes(owner) else None

    def of_org_scope(self, org: str) -> Owner | None:
        """The labels of a whole org."""
        return Owner(org, "", "") if self._labels["org"].take(org) else None
