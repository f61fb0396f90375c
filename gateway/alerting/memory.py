"""What has been told lately, by this gateway: so that the same is not told again and again. Pure."""

from __future__ import annotations

from typing import Final, Literal

from gateway.alerting.alert import Alert

REMEMBERED: Final = 10_000
"""Alerts; those told longest ago are forgotten first."""
MOST_OF_AN_AGENT: Final = 20
"""Alerts of one kind that one agent's runs may cause within the time that an alert is not repeated."""
FLAPS: Final = 5
"""Beginnings of the same within that time; after these it is not told any more that it is over."""


class _Told:
    __slots__ = ("began_s", "state")

    def __init__(self) -> None:
        self.state: Literal["firing", "over", "elsewhere"] = "firing"
        self.began_s: list[float] = []
        """When it was told to have begun, lately."""


class Memory:
    """Time is `at_s`, as the alerts tell it."""

    def __init__(self, repeat_s: float) -> None:
        self.repeat_s = repeat_s
        self._told: dict[str, _Told] = {}
        self._of_agents: dict[tuple[str, str], list[float]] = {}

    def is_news(self, alert: Alert) -> bool:
        """Whether to tell it; remembers that it was. What is over is news only where it was told that it began."""
        told = self._told.get(alert.key)
        if alert.status == "resolved":
            return told is not None and self._is_over(told, alert.at_s)
        if told is not None and told.state != "over" and self._is_recent(told.began_s[-1], alert.at_s):
            return False
        if alert.subject.run and not self._has_room(alert):
            return False
        told = self._told.pop(alert.key, None) or _Told()
        told.state = "firing"
        told.began_s = [*self._recent(told.began_s, alert.at_s), alert.at_s]
        self._told[alert.key] = told
        if len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]
        return True

    def told_elsewhere(self, alert: Alert) -> None:
        """Another gateway has told it, and will tell when it is over."""
        told = self._told.get(alert.key)
        if told is not None:
            told.state = "elsewhere"

    def _is_over(self, told: _Told, now_s: float) -> bool:
        """Take note that it is. What begins again and again is left standing, until it has not for a while."""
        was_firing = told.state == "firing"
        if was_firing and len(self._recent(told.began_s, now_s)) >= FLAPS:
            return False
        told.state = "over"
        return was_firing

    def _has_room(self, alert: Alert) -> bool:
        """Whether the agent's runs have not caused too many lately: runs are made by clients, as many as they like."""
        key = (alert.kind, alert.subject.agent)
        recent = self._recent(self._of_agents.get(key, []), alert.at_s)
        if len(recent) >= MOST_OF_AN_AGENT:
            return False
        self._of_agents[key] = [*recent, alert.at_s]
        return True

    def _recent(self, times_s: list[float], now_s: float) -> list[float]:
        return [at_s for at_s in times_s if self._is_recent(at_s, now_s)]

    def _is_recent(self, at_s: float, now_s: float) -> bool:
        return now_s - at_s < self.repeat_s
