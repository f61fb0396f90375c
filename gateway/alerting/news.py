"""What of all that happens is news, and how it is put. Pure: events in, alerts out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.alerting.alert import TEXTS, Alert, Subject
from gateway.config.snapshot import Agent
from gateway.telemetry.events import BreakerChanged, BudgetCrossed, CredentialsRefused, Event, LimitNoticed, LoopFound
from routing.money import NanoUsd, format_usd

_OPEN: Final = frozenset(("open", "forced_open"))
_CLOSED: Final = frozenset(("closed", "forced_closed"))
_ACTIONS: Final = {
    "observe": "It goes on",
    "warn": "Its client was told",
    "downgrade": "It goes on with a cheaper model",
    "block": "Its requests are refused",
}
_USED_UP: Final = {"requests": "requests", "tokens": "tokens", "budget_exceeded": "money"}
"""What a run's own limits refuse for, and of what."""


class News:
    """Reads events."""

    def __init__(self) -> None:
        self._agents: Mapping[str, Agent] = {}
        self._readers: dict[type, Callable[[Any], Alert | None]] = {
            BudgetCrossed: self._budget,
            LoopFound: self._loop,
            LimitNoticed: self._limit,
            BreakerChanged: _breaker,
            CredentialsRefused: _credentials,
        }

    def use(self, agents: Mapping[str, Agent]) -> None:
        """The configured agents: whose they are."""
        self._agents = agents

    def read(self, events: Sequence[Event]) -> list[Alert]:
        """What is news among events; much of it may have been told before."""
        readers = self._readers
        alerts = []
        for event in events:
            reader = readers.get(type(event))
            if reader is not None and (alert := reader(event)) is not None:
                alerts.append(alert)
        return alerts

    def _whose(self, agent: str, run: str = "") -> Subject:
        found = self._agents.get(agent)
        if found is None:
            return Subject(agent=agent, run=run)
        return Subject(found.org, found.team, agent, run)

    def _budget(self, event: BudgetCrossed) -> Alert:
        kind, _, value = event.scope.partition(":")
        value = value[:TEXTS]
        subject = self._whose(value) if kind == "agent" else Subject(**{kind: value} if kind in _NAMED else {})
        if kind == "run":
            subject = self._whose(value.partition("/")[0], value)
        posted, limit = format_usd(NanoUsd(event.posted_nano_usd)), format_usd(NanoUsd(event.limit_nano_usd))
        spent = event.share >= 1
        passed = "is spent" if spent else f"has passed {event.share:.0%}"
        scope = event.scope[:TEXTS]
        return Alert(
            "budget",
            f"budget|{event.budget}|{event.scope}|{event.window}|{event.share}",
            f"Budget {event.budget} of {scope} {passed}",
            f"{posted} of {limit} USD are spent in {event.window}."
            + (" Requests that it covers are refused, unless it only watches." if spent else ""),
            subject._replace(budget=event.budget, scope=scope),
            event.at_s,
            "critical" if spent else "warning",
            details=(
                ("share", f"{event.share:g}"),
                ("spent_usd", posted),
                ("limit_usd", limit),
                ("window", event.window),
            ),
            decided=True,
        )

    def _loop(self, event: LoopFound) -> Alert:
        what = event.kind.replace("_", " ")
        run = event.run or ""
        where = f"run {run}" if run else f"agent {event.agent}"
        stopped = event.action == "block"
        advice = f" `farebox runs pause {run}` stops it." if run and not stopped else ""
        if run and stopped:
            advice = f" The run is paused: `farebox runs resume {run}` lets it go on."
        return Alert(
            "loop",
            f"loop|{event.agent}|{run}|{event.kind}",
            f"Loop in {where}: {what}",
            f"The agent {event.agent} repeats itself: {what}, {event.times} times. {_ACTIONS[event.action]}.{advice}",
            self._whose(event.agent, run),
            event.at_s,
            "critical" if stopped else "warning",
            details=(("loop", event.kind), ("times", str(event.times)), ("action", event.action)),
        )

    def _limit(self, event: LimitNoticed) -> Alert | None:
        """A run that spends too quickly, or has used up what it may: `rule` is the agent's id then, or the run's."""
        if event.kind == "refused" and event.reason == "velocity":
            run, told = event.scope, "is refused: more than its velocity allows"
        elif event.kind == "shadow" and event.rule == event.agent and event.scope.startswith(f"{event.agent}/"):
            run, told = event.scope, "spends more than its velocity allows"
        elif event.kind == "refused" and event.rule.startswith(f"{event.agent}/") and event.reason in _USED_UP:
            run, told = event.rule, f"is refused: it has used up its {_USED_UP[event.reason]}"
        else:
            return None
        return Alert(
            "runaway",
            f"runaway|{run}|{event.kind}|{event.reason}",
            f"Run {run} {told}",
            f"The run {run} {told}. `farebox runs show {run}` tells what it spent; `farebox runs pause {run}` stops "
            f"it, `farebox runs resume {run}` lets it go on.",
            self._whose(event.agent, run),
            event.at_s,
            "critical",
            details=(("reason", event.reason),),
        )


_NAMED: Final = frozenset(("org", "team", "user", "provider"))
"""Kinds of scopes that are fields of a subject."""


def _breaker(event: BreakerChanged) -> Alert | None:
    if event.reason == "shared":  # another gateway's, which tells it
        return None
    opened = event.state_to in _OPEN
    if not opened and event.state_to not in _CLOSED:
        return None
    why = event.reason.replace("_", " ") + (f": {event.note[:TEXTS]}" if event.note else "")
    title = f"Breaker of {event.breaker} {'is open' if opened else 'is closed again'}"
    rest = "Calls go to the next candidate; it is tried again by itself." if opened else "It is called again."
    return Alert(
        "breaker",
        f"breaker|{event.breaker}",
        title,
        f"{title} ({why}). {rest}",
        Subject(breaker=event.breaker, provider=event.breaker.partition("/")[0]),
        event.at_s,
        "critical" if opened else "info",
        "firing" if opened else "resolved",
        (("state", event.state_to), ("reason", event.reason)),
        decided=True,  # others hear of it as `shared`
    )


def _credentials(event: CredentialsRefused) -> Alert:
    title = f"{event.provider} {'refuses our credentials or account' if event.refused else 'accepts us again'}"
    rest = "Its key or its balance needs a look; calls fall back where they can." if event.refused else ""
    return Alert(
        "credentials",
        f"credentials|{event.provider}",
        title,
        f"{title}. {rest}".strip(),
        Subject(provider=event.provider),
        event.at_s,
        "critical" if event.refused else "info",
        "firing" if event.refused else "resolved",
    )
