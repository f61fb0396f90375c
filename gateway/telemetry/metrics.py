"""The Prometheus adapter: counts events in plain integers, a dictionary look-up and a few additions each.

Rendering copies the numbers on the event loop (a few milliseconds for ten thousand series) and writes the text in a
worker thread.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from gateway.config.snapshot import Snapshot
from gateway.errors import FareboxError
from gateway.telemetry.budgets import BudgetGauges, budget_rows
from gateway.telemetry.charges import ChargeCounts, sum_tokens
from gateway.telemetry.decisions import LABELS, DecisionCounts
from gateway.telemetry.events import ConfigLoaded, Event, KeysReloaded, RequestFinished
from gateway.telemetry.labels import Label, Owner, Owners
from gateway.telemetry.limits import LimitCounts
from gateway.telemetry.requests import RequestCounts
from gateway.telemetry.upstream import UpstreamCounts
from routing.catalog import Deployment
from routing.rules import CompiledPolicy

if TYPE_CHECKING:
    from gateway.ledger.report import BudgetLine
    from gateway.telemetry import exposition
    from gateway.telemetry.series import Key

_LABELS = ("org", "team", "agent", "model", "provider", "deployment", "breaker", "budget", "limit", "code", *LABELS)


class Source(Protocol):
    """Somebody who counts for itself."""

    def copy(self) -> Iterable[tuple[str, exposition.Rows]]:
        """Families' rows in the unit that `gateway.telemetry.names` says. Called on the event loop at every scrape."""
        ...


@dataclass(frozen=True, slots=True)
class Gauges:
    """What others count for themselves; read on the event loop at every rendering. None leaves the metric out."""

    journal_pending_rows: Callable[[], int] | None = None
    journal_lag_s: Callable[[], float] | None = None
    upstream_connections: Callable[[], Mapping[str, int]] | None = None
    """Connections by state: `idle`, `active`."""
    retry_budgets: Callable[[], Mapping[str, float]] | None = None
    """What is used of them, by deployment."""
    hedge_budgets: Callable[[], Mapping[str, float]] | None = None
    """What is used of them, by model."""
    budgets: Callable[[], Awaitable[Sequence[BudgetLine]]] | None = None
    """Every counter of declared scopes in its present window; none where they cannot be read now."""
    drifts: Callable[[], Mapping[tuple[str, str], float]] | None = None
    """How far bills were from the journal when they were compared last, by model and provider."""


@dataclass(frozen=True, slots=True)
class Known:
    """The ids that the configuration declares: the values that labels may take."""

    owners: tuple[Owner, ...] = ()
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    """A model's alias counts as its model."""
    budgets: tuple[str, ...] = ()
    rate_limits: tuple[str, ...] = ()
    policies: tuple[CompiledPolicy, ...] = ()

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """Those of a configuration."""
        models = snapshot.catalog.models
        return cls(
            owners=tuple([Owner(agent.org, agent.team, agent.id) for agent in snapshot.agents.values()]),
            models=tuple(models),
            providers=tuple(snapshot.endpoints),
            deployments=tuple([each for model in models.values() for each in model.deployments]),
            aliases=snapshot.catalog.aliases,
            budgets=tuple([budget.id for budget in snapshot.budgets]),
            rate_limits=tuple([limit.id for limit in snapshot.rate_limits]),
            policies=tuple(snapshot.compiled_policies.values()),
        )


class Copied(NamedTuple):
    """All numbers at one moment."""

    rows: dict[str, exposition.Rows]
    tokens: list[tuple[Key, tuple[int, ...]]]
    budgets: list[tuple[Key, BudgetLine]]


class Metrics:
    """A `Sink` that counts. Belongs to the event loop's thread; only the text is made elsewhere."""

    def __init__(self, *, version: str, max_label_values: int = 500, gauges: Gauges | None = None) -> None:
        """`version` is Farebox's own, for `farebox_build_info`."""
        self._build = ((version, platform.python_version()), 1)
        self._gauges = gauges or Gauges()
        labels = self._labels = {name: Label(name, max_label_values, self._forget) for name in _LABELS}
        labels["code"].set_known(_error_codes())
        owners = self._owners = Owners(labels)
        self._requests = RequestCounts(labels, owners)
        self._charges = ChargeCounts(labels, owners)
        self._limits = LimitCounts(labels, owners)
        self._upstream = UpstreamCounts(labels)
        self._decisions = DecisionCounts(labels, owners)
        self._budgets = BudgetGauges(labels, owners)
        self._sources: list[Source] = [self._requests, self._charges, self._limits, self._upstream, self._decisions]
        self._config = ConfigLoaded(at_s=0.0, ok=True, version=0, reason="")
        self._loaded_at_s = 0.0
        self._reload_failures = 0
        self._keys = 0
        self._rendering = asyncio.Lock()
        self._handlers: dict[type, Callable[..., None]] = {
            **self._requests.handlers,
            **self._charges.handlers,
            **self._limits.handlers,
            **self._upstream.handlers,
            RequestFinished: self._finished,
            ConfigLoaded: self._config_loaded,
            KeysReloaded: self._keys_reloaded,
        }

    def add(self, source: Source) -> None:
        """Show what another one counts, too."""
        self._sources.append(source)

    def set_known(self, known: Known, *, max_label_values: int | None = None) -> None:
        """Declare the configured ids: at the start and after every reload. Others are counted as `_other`."""
        if max_label_values is not None:
            for label in self._labels.values():
                label.max_values = max_label_values
        for name, values in (
            ("org", [owner.org for owner in known.owners]),
            ("team", [owner.team for owner in known.owners]),
            ("agent", [owner.agent for owner in known.owners]),
            ("model", known.models),
            ("provider", known.providers),
        ):
            self._labels[name].set_known(values)
        self._owners.set_known(known.owners)
        self._requests.set_known(known.aliases)
        self._charges.set_known(known.deployments)
        self._upstream.set_known([each.id for each in known.deployments], known.providers)
        self._limits.set_known((*known.budgets, *known.rate_limits))
        self._budgets.set_known(known.budgets)
        self._decisions.set_known(known.policies)

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
            lines: Sequence[BudgetLine] = ()
            if self._gauges.budgets is not None:
                lines = await self._gauges.budgets()
            return await asyncio.to_thread(_write, self.copy(lines), accept or "")

    def copy(self, lines: Sequence[BudgetLine]) -> Copied:
        """All numbers as they are now, for another thread to finish and write."""
        return Copied(dict(self._copy()), self._charges.copy_tokens(), self._budgets.copy(lines))

    # ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _finished(self, event: RequestFinished) -> None:
        self._requests.finished(event)
        if event.choice is not None:
            self._decisions.count(event, event.choice)

    def _config_loaded(self, event: ConfigLoaded) -> None:
        self._config = event
        if event.ok:
            self._loaded_at_s = event.at_s
        self._reload_failures += not event.ok

    def _keys_reloaded(self, event: KeysReloaded) -> None:
        self._keys = event.keys

    def _forget(self, label: str, value: str) -> None:
        """Drop all series of an id that is no longer configured and whose place is needed."""
        self._owners.forget()
        for part in (self._requests, self._charges, self._limits, self._upstream, self._decisions):
            part.forget(label, value)

    # ── copying ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _copy(self) -> Iterator[tuple[str, exposition.Rows]]:
        """Every family's rows, in the unit we count in."""
        for source in self._sources:
            yield from source.copy()
        yield "config_version", [((), self._config.version)]
        yield "config_loaded_timestamp_seconds", [((), self._loaded_at_s)]
        yield "config_stale", [((), not self._config.ok)]
        yield "config_reload_failures_total", [((), self._reload_failures)]
        yield "keys", [((), self._keys)]
        yield "label_overflow_total", [((label.name,), label.overflow) for label in self._labels.values()]
        yield "build_info", [self._build]
        yield from self._copy_gauges()

    def _copy_gauges(self) -> Iterator[tuple[str, exposition.Rows]]:
        gauges = self._gauges
        if gauges.journal_pending_rows is not None:
            yield "journal_pending_rows", [((), gauges.journal_pending_rows())]
        if gauges.journal_lag_s is not None:
            yield "journal_lag_seconds", [((), gauges.journal_lag_s())]
        if gauges.upstream_connections is not None:
            yield "upstream_connections", [((state,), n) for state, n in gauges.upstream_connections().items()]
        if gauges.retry_budgets is not None:
            retries = [(self._charges.place_of(name), used) for name, used in gauges.retry_budgets().items()]
            yield "retry_budget_used_ratio", [(key, used) for key, used in retries if key is not None]
        if gauges.hedge_budgets is not None:
            takes = self._labels["model"].take
            yield "hedge_budget_used_ratio", [((m,), used) for m, used in gauges.hedge_budgets().items() if takes(m)]
        if gauges.drifts is not None:
            model, provider = self._labels["model"].take, self._labels["provider"].take
            drifts = [(key, ratio) for key, ratio in gauges.drifts().items() if model(key[0]) and provider(key[1])]
            yield "reconciliation_drift_ratio", drifts


def _error_codes() -> frozenset[str]:
    """The codes of Farebox's own errors; an upstream's other codes are `_other`."""
    classes: list[type[FareboxError]] = [FareboxError]
    for cls in classes:
        classes.extend(cls.__subclasses__())
    return frozenset(chain((cls.code for cls in classes), ("internal_error",)))


def _write(copied: Copied, accept: str) -> tuple[bytes, str]:
    from gateway.telemetry import exposition  # prometheus_client, with its web servers, is not needed before a scrape

    state = {**copied.rows, "tokens_total": sum_tokens(copied.tokens), **dict(budget_rows(copied.budgets))}
    return exposition.render(state, accept)
