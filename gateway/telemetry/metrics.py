"""The Prometheus adapter: counts events in plain integers, a dictionary look-up and a few additions each.

Rendering copies the numbers on the event loop (under a millisecond for a thousand series) and writes the text in a
worker thread.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.config.snapshot import Agent
from gateway.errors import FareboxError
from gateway.telemetry.decisions import LABELS, DecisionCounts
from gateway.telemetry.events import (
    WELL,
    ChargePosted,
    ConfigLoaded,
    Event,
    KeyRefused,
    KeysReloaded,
    LimitNoticed,
    LoopFound,
    RequestFinished,
    RequestStarted,
)
from gateway.telemetry.labels import OTHER, Label
from gateway.telemetry.series import TOKEN_KINDS, AgentSeries, ChargeSeries, OfferSeries, RequestSeries
from gateway.telemetry.upstream import UpstreamCounts
from routing.rules import CompiledPolicy

if TYPE_CHECKING:
    from gateway.telemetry import exposition

_NO_ALIASES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Gauges:
    """What others count for themselves; read on the event loop at every rendering. None leaves the metric out."""

    journal_pending_rows: Callable[[], int] | None = None
    journal_lag_s: Callable[[], float] | None = None
    upstream_connections: Callable[[], Mapping[str, int]] | None = None
    """Connections by state: `idle`, `active`."""


class Metrics:
    """A `Sink` that counts. Belongs to the event loop's thread; only the text is made elsewhere."""

    def __init__(self, *, version: str, max_label_values: int = 500, gauges: Gauges | None = None) -> None:
        """`version` is Farebox's own, for `farebox_build_info`."""
        self._build = ((version, platform.python_version()), 1)
        self._gauges = gauges or Gauges()
        self._labels = {
            name: Label(name, max_label_values, self._forget)
            for name in ("org", "team", "agent", "model", "provider", "code", "deployment", "breaker", *LABELS)
        }
        self._upstream = UpstreamCounts(self._labels)
        self._decisions = DecisionCounts(self._labels)
        self._labels["code"].set_known(_error_codes())
        self._aliases = _NO_ALIASES
        self._requests: dict[tuple[str, ...], RequestSeries] = {}
        self._charges: dict[tuple[str, ...], ChargeSeries] = {}
        self._agents: dict[tuple[str, ...], AgentSeries] = {}
        self._offers: dict[tuple[str, ...], OfferSeries] = {}
        self._errors: dict[tuple[str, ...], int] = {}
        # From what an event says to its series, for values that are admitted: the look-up of the usual event.
        self._request_routes: dict[tuple[str, ...], RequestSeries] = {}
        self._charge_routes: dict[tuple[str, ...], ChargeSeries] = {}
        self._in_flight: dict[str, int] = {}
        self._config = ConfigLoaded(at_s=0.0, ok=True, version=0, reason="")
        self._reload_failures = 0
        self._keys = 0
        self._key_refusals: dict[tuple[str, ...], int] = {}
        self._rendering = asyncio.Lock()
        self._overrun: dict[tuple[str, ...], int] = {}
        self._orphaned: dict[tuple[str, ...], int] = {}
        self._limits: dict[tuple[str, ...], int] = {}
        self._queue_s: dict[tuple[str, ...], float] = {}
        self._loops: dict[tuple[str, ...], int] = {}
        self._handlers: dict[type, Callable[..., None]] = {
            RequestStarted: self._started,
            ChargePosted: self._charged,
            RequestFinished: self._finished,
            ConfigLoaded: self._config_loaded,
            KeyRefused: self._key_refused,
            KeysReloaded: self._keys_reloaded,
            LimitNoticed: self._limit_noticed,
            LoopFound: self._loop_found,
            **self._upstream.handlers,
        }

    def set_known(
        self,
        agents: Iterable[Agent],
        models: Iterable[str],
        providers: Iterable[str],
        aliases: Mapping[str, str] = _NO_ALIASES,
        *,
        deployments: Iterable[str] = (),
        max_label_values: int | None = None,
    ) -> None:
        """Declare the configured ids: at the start and after every reload. Orgs and teams are those of the agents.

        A model's alias counts as its model. Values that are not declared are counted as `_other`.
        """
        agents, providers = tuple(agents), tuple(providers)
        self._aliases = aliases
        if max_label_values is not None:
            for label in self._labels.values():
                label.max_values = max_label_values
        for name, values in (
            ("org", (agent.org for agent in agents)),
            ("team", (agent.team for agent in agents)),
            ("agent", (agent.id for agent in agents)),
            ("model", models),
            ("provider", providers),
        ):
            self._labels[name].set_known(values)
        self._upstream.set_known(deployments, providers)
        self._request_routes.clear()
        self._charge_routes.clear()

    def set_policies(self, policies: Iterable[CompiledPolicy]) -> None:
        """Declare the configured policies: at the start and after every reload."""
        self._decisions.set_known(policies)

    def receive(self, events: Sequence[Event]) -> None:
        """Count a batch. Events of a kind that has no metric are passed over."""
        handlers = self._handlers
        for event in events:
            handle = handlers.get(type(event))
            if handle is not None:
                handle(event)

    async def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """The exposition and its content type, as the scraper's Accept header asks. Flush the recorder first.

        Scrapes are served one after the other: any number of them takes one thread.
        """
        async with self._rendering:
            return await asyncio.to_thread(_write, dict(self._copy()), accept or "")

    # ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _started(self, event: RequestStarted) -> None:
        # By the event's own agent, not its label, so that a reload between start and end cannot split the pair.
        agent = event.agent
        count = self._in_flight.get(agent)
        if count is None:
            self._labels["agent"].value(agent)  # so that an agent's first request shows under its own name
            count = 0
        self._in_flight[agent] = count + 1

    def _charged(self, event: ChargePosted) -> None:
        key = (event.org, event.team, event.agent, event.model, event.provider, event.outcome, event.purpose)
        series = self._charge_routes.get(key) or self._charge_series(key)
        series.nano_usd += event.cost_nano_usd
        series.add_usage(event.usage)
        if event.outcome in WELL:
            self._upstream.went_well(event)
        if event.estimated:
            series.offer.usage_missing += 1
        if event.unpriced:
            series.offer.unpriced += 1
        if event.cost_nano_usd > event.reserved_nano_usd > 0:
            self._add(self._overrun, event.agent, event.cost_nano_usd - event.reserved_nano_usd)
        if event.resolution == "orphaned":
            self._add(self._orphaned, event.agent, event.cost_nano_usd)

    def _finished(self, event: RequestFinished) -> None:
        agent = event.agent
        in_flight = self._in_flight.get(agent, 0) - 1
        if in_flight > 0:
            self._in_flight[agent] = in_flight
        else:
            self._in_flight.pop(agent, None)
        key = (event.org, event.team, agent, event.model, event.provider, event.outcome)
        series = self._request_routes.get(key) or self._request_series(key)
        series.count += 1
        series.duration.observe(event.latency_ms)
        if event.first_token_ms is not None:
            series.first_token.observe(event.first_token_ms)
        series.agent.overhead.observe(event.overhead_ms)
        if event.error_code:
            error = (self._labels["code"].value(event.error_code), series.labels[2])
            self._errors[error] = self._errors.get(error, 0) + 1
        if event.choice is not None:
            self._decisions.count(event, event.choice)

    def _config_loaded(self, event: ConfigLoaded) -> None:
        self._config = event
        self._reload_failures += not event.ok

    def _key_refused(self, event: KeyRefused) -> None:
        code = (self._labels["code"].value(event.code),)
        self._key_refusals[code] = self._key_refusals.get(code, 0) + 1

    def _keys_reloaded(self, event: KeysReloaded) -> None:
        self._keys = event.keys

    def _limit_noticed(self, event: LimitNoticed) -> None:
        self._add(self._limits, event.agent, 1, event.kind, event.reason)
        if event.kind == "waited":
            labels = (self._labels["agent"].value(event.agent),)
            self._queue_s[labels] = self._queue_s.get(labels, 0.0) + event.waited_s

    def _loop_found(self, event: LoopFound) -> None:
        self._add(self._loops, event.agent, 1, event.kind, event.action)

    def _add(self, counts: dict[tuple[str, ...], int], agent: str, amount: int, *more: str) -> None:
        labels = (self._labels["agent"].value(agent), *more)
        counts[labels] = counts.get(labels, 0) + amount

    # ── series ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _charge_series(self, key: tuple[str, ...]) -> ChargeSeries:
        labels = (*self._offer_labels(key), *key[5:])
        series = self._charges.get(labels)
        if series is None:
            offer = self._offers.setdefault(labels[3:5], OfferSeries(labels[3:5]))
            series = self._charges[labels] = ChargeSeries(labels, offer)
        if OTHER not in labels:
            self._charge_routes[key] = series
        return series

    def _request_series(self, key: tuple[str, ...]) -> RequestSeries:
        labels = (*self._offer_labels(key), *key[5:])
        series = self._requests.get(labels)
        if series is None:
            agent = self._agents.setdefault(labels[:3], AgentSeries(labels[:3]))
            series = self._requests[labels] = RequestSeries(labels, agent)
        if OTHER not in labels:
            self._request_routes[key] = series
        return series

    def _offer_labels(self, key: tuple[str, ...]) -> tuple[str, ...]:
        """The labels from org to provider. `_other` makes no route: clients could make as many as they like."""
        org, team, agent, model, provider = key[:5]
        label = self._labels
        return (
            label["org"].value(org),
            label["team"].value(team),
            label["agent"].value(agent),
            label["model"].value(self._aliases.get(model, model)),
            label["provider"].value(provider),
        )

    def _forget(self, label: str, value: str) -> None:
        """Drop all series of an id that is no longer configured and whose place is needed."""
        self._request_routes.clear()
        self._charge_routes.clear()
        stores: tuple[tuple[dict[tuple[str, ...], object], tuple[str, ...]], ...] = (
            (self._requests, _REQUEST_LABELS),  # type: ignore[assignment]  # only keys are looked at and removed
            (self._charges, _REQUEST_LABELS),
            (self._agents, _REQUEST_LABELS[:3]),
            (self._offers, _REQUEST_LABELS[3:]),
            (self._errors, ("code", "agent")),
            (self._overrun, ("agent",)),
            (self._orphaned, ("agent",)),
            (self._limits, ("agent",)),
            (self._queue_s, ("agent",)),
            (self._loops, ("agent",)),
        )
        self._upstream.forget(label, value)
        self._decisions.forget(label, value)
        for store, names in stores:
            if label in names:
                place = names.index(label)
                for key in [key for key in store if key[place] == value]:
                    del store[key]

    # ── copying ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _copy(self) -> Iterator[tuple[str, exposition.Rows]]:
        """Every family's rows, in the unit we count in."""
        requests, charges, offers = self._requests.values(), self._charges.values(), self._offers.values()
        yield "requests_total", [(s.labels, s.count) for s in requests]
        yield "request_duration_seconds", [(s.labels, s.duration.freeze()) for s in requests]
        yield "first_token_seconds", [(s.labels, s.first_token.freeze()) for s in requests]
        yield "overhead_seconds", [(s.labels, s.overhead.freeze()) for s in self._agents.values()]
        yield "in_flight_requests", self._copy_in_flight()
        yield "errors_total", list(self._errors.items())
        yield "tokens_total", self._copy_tokens()
        yield "cost_usd_total", [(s.labels, s.nano_usd) for s in charges]
        yield "usage_missing_total", [(s.labels, s.usage_missing) for s in offers]
        yield "unpriced_requests_total", [(s.labels, s.unpriced) for s in offers]
        yield "overrun_usd_total", list(self._overrun.items())
        yield "orphaned_usd_total", list(self._orphaned.items())
        yield "limits_total", list(self._limits.items())
        yield "queue_wait_seconds_total", [(labels, round(s * 1000)) for labels, s in self._queue_s.items()]
        yield "loops_total", list(self._loops.items())
        yield from self._upstream.copy()
        yield from self._decisions.copy()
        yield "config_version", [((), self._config.version)]
        yield "config_stale", [((), not self._config.ok)]
        yield "config_reload_failures_total", [((), self._reload_failures)]
        yield "keys", [((), self._keys)]
        yield "key_refusals_total", list(self._key_refusals.items())
        yield "label_overflow_total", [((label.name,), label.overflow) for label in self._labels.values()]
        yield "build_info", [self._build]
        yield from self._copy_gauges()

    def _copy_in_flight(self) -> exposition.Rows:
        agents = self._labels["agent"]
        rows = {(series.labels[2],): 0 for series in self._agents.values()}
        for agent, count in self._in_flight.items():
            label = (agent if agents.admits(agent) else OTHER,)
            rows[label] = rows.get(label, 0) + count
        return list(rows.items())

    def _copy_tokens(self) -> exposition.Rows:
        """Tokens summed over outcomes and purposes. Kinds that never occurred get no line, but for input and output."""
        sums: dict[tuple[str, ...], list[int]] = {}
        for series in self._charges.values():
            before = sums.get(series.labels[:5])
            now = series.tokens if before is None else [a + b for a, b in zip(before, series.tokens, strict=True)]
            sums[series.labels[:5]] = now
        return [
            ((*labels, kind), count)
            for labels, tokens in sums.items()
            for kind, count in zip(TOKEN_KINDS, tokens, strict=True)
            if count or kind in {"input", "output"}
        ]

    def _copy_gauges(self) -> Iterator[tuple[str, exposition.Rows]]:
        gauges = self._gauges
        if gauges.journal_pending_rows is not None:
            yield "journal_pending_rows", [((), gauges.journal_pending_rows())]
        if gauges.journal_lag_s is not None:
            yield "journal_lag_seconds", [((), gauges.journal_lag_s())]
        if gauges.upstream_connections is not None:
            yield "upstream_connections", [((state,), n) for state, n in gauges.upstream_connections().items()]


_REQUEST_LABELS = ("org", "team", "agent", "model", "provider")


def _error_codes() -> frozenset[str]:
    """The codes of Farebox's own errors; an upstream's other codes are `_other`."""
    classes: list[type[FareboxError]] = [FareboxError]
    for cls in classes:
        classes.extend(cls.__subclasses__())
    return frozenset(chain((cls.code for cls in classes), ("internal_error",)))


def _write(state: dict[str, exposition.Rows], accept: str) -> tuple[bytes, str]:
    from gateway.telemetry import exposition  # prometheus_client, with its web servers, is not needed before a scrape

    return exposition.render(state, accept)
