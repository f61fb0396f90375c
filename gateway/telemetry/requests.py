"""Counts requests as agents see them: how many, how they ended, how long they took."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway.telemetry.events import WELL, KeyRefused, RequestFinished, RequestStarted
from gateway.telemetry.labels import NOBODY, OTHER, Label, Owners
from gateway.telemetry.names import AGENT, OFFER
from gateway.telemetry.series import AgentSeries, Key, RequestSeries, Tally, forget

if TYPE_CHECKING:
    from gateway.telemetry import exposition


class RequestCounts:
    """The part of `gateway.telemetry.metrics.Metrics` about requests."""

    def __init__(self, labels: Mapping[str, Label], owners: Owners) -> None:
        self._labels = labels
        self._owners = owners
        self._aliases: Mapping[str, str] = {}
        self._requests: dict[Key, RequestSeries] = {}
        self._agents: dict[Key, AgentSeries] = {}
        self._routes: dict[Key, RequestSeries] = {}
        """From what an event says to its series, for values that are admitted: the look-up of the usual event."""
        self._errors = Tally(*AGENT, "code")
        self._key_refusals = Tally("code")
        self._in_flight: dict[str, int] = {}
        self.handlers: dict[type, Callable[[Any], None]] = {
            RequestStarted: self._started,
            RequestFinished: self.finished,
            KeyRefused: self._key_refused,
        }

    def set_known(self, aliases: Mapping[str, str]) -> None:
        """The configured ids have changed; these are the aliases of models."""
        self._aliases = aliases
        self._routes.clear()

    def _started(self, event: RequestStarted) -> None:
        # By the event's own agent, not its label, so that a reload between start and end cannot split the pair.
        agent = event.agent
        count = self._in_flight.get(agent)
        if count is None:
            self._owners.of(agent)  # so that an agent's first request shows under its own name
            count = 0
        self._in_flight[agent] = count + 1

    def finished(self, event: RequestFinished) -> None:
        """Count a request that is over."""
        agent = event.agent
        in_flight = self._in_flight.get(agent, 0) - 1
        if in_flight > 0:
            self._in_flight[agent] = in_flight
        else:
            self._in_flight.pop(agent, None)
        key = (event.org, event.team, agent, event.model, event.provider, event.outcome)
        series = self._routes.get(key) or self._series(key)
        series.count += 1
        of_agent = series.agent
        of_agent.overhead.observe(event.overhead_ms)
        if series.answered:
            request_id, trace_id, at_s = event.request_id, event.trace_id, event.at_s
            of_agent.duration.observe(event.latency_ms, request_id, trace_id, at_s)
            if event.first_token_ms is not None:
                of_agent.first_token.observe(event.first_token_ms, request_id, trace_id, at_s)
        if event.error_code:
            self._errors.add((*self._owners.of(agent), self._labels["code"].value(event.error_code)))

    def _key_refused(self, event: KeyRefused) -> None:
        self._key_refusals.add((self._labels["code"].value(event.code),))

    def _series(self, key: Key) -> RequestSeries:
        org, team, agent, model, provider, outcome = key
        label = self._labels
        who = (label["org"].value(org), label["team"].value(team), label["agent"].value(agent))
        what = (label["model"].value(self._aliases.get(model, model)), label["provider"].value(provider))
        labels = (*who, *what, outcome)
        series = self._requests.get(labels)
        if series is None:
            of_agent = self._agents.setdefault(who, AgentSeries(who))
            series = self._requests[labels] = RequestSeries(labels, of_agent, answered=outcome in WELL)
        if OTHER not in labels:  # clients could make as many as they like
            self._routes[key] = series
        return series

    def forget(self, label: str, value: str) -> None:
        """Drop all series of an id that is no longer configured and whose place is needed."""
        self._routes.clear()
        forget(self._requests, (*AGENT, *OFFER), label, value)  # type: ignore[arg-type]  # only keys are looked at
        forget(self._agents, AGENT, label, value)  # type: ignore[arg-type]
        self._errors.forget(label, value)

    def copy(self) -> Iterator[tuple[str, exposition.Rows]]:
        """Every family's rows, in the unit we count in."""
        agents = self._agents.values()
        yield "requests_total", [(s.labels, s.count) for s in self._requests.values()]
        yield "request_duration_seconds", [(s.labels, s.duration.freeze()) for s in agents]
        yield "first_token_seconds", [(s.labels, s.first_token.freeze()) for s in agents]
        yield "overhead_seconds", [(s.labels, s.overhead.freeze()) for s in agents]
        yield "in_flight_requests", self._copy_in_flight()
        yield "errors_total", self._errors.copy()
        yield "key_refusals_total", self._key_refusals.copy()

    def _copy_in_flight(self) -> exposition.Rows:
        admits = self._labels["agent"].admits
        rows: dict[Key, int] = dict.fromkeys(self._agents, 0)
        for agent, count in self._in_flight.items():
            owner = self._owners.of(agent) if admits(agent) else NOBODY
            rows[owner] = rows.get(owner, 0) + count
        return list(rows.items())
