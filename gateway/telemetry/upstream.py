"""Counts what happens to providers: breakers, refused credentials, budgets for retries and hedges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway.telemetry.events import AttemptDenied, BreakerChanged, CredentialsRefused
from gateway.telemetry.labels import OTHER, Label
from gateway.telemetry.series import Tally

if TYPE_CHECKING:
    from gateway.telemetry import exposition

_STATES = {"closed": 0, "forced_closed": 0, "half_open": 1, "open": 2, "forced_open": 2}


class UpstreamCounts:
    """The part of `gateway.telemetry.metrics.Metrics` about providers."""

    def __init__(self, labels: Mapping[str, Label]) -> None:
        """`labels` are those of the metrics; `breaker` is for deployments and providers alike."""
        self._labels = labels
        self._transitions = Tally("breaker", "state", "reason")
        self._denied = Tally("model", "kind")
        self._states: dict[str, int] = {}
        self._refused: dict[str, bool] = {}
        self.handlers: dict[type, Callable[[Any], None]] = {
            AttemptDenied: self._not_made,
            BreakerChanged: self._changed,
            CredentialsRefused: self._credentials,
        }

    def set_known(self, deployments: Iterable[str], providers: Iterable[str]) -> None:
        """Declare the configured ids. What a wildcard stands for is counted as `_other`."""
        deployments, providers = tuple(deployments), tuple(providers)
        breaker = self._labels["breaker"]
        breaker.set_known((*deployments, *providers))
        shown = [name for name in (*providers, *deployments) if breaker.value(name) != OTHER]
        self._states = {name: self._states.get(name, 0) for name in shown}
        self._refused = {name: self._refused.get(name, False) for name in providers}

    def _not_made(self, event: AttemptDenied) -> None:
        self._denied.add((self._labels["model"].value(event.model), event.kind))

    def _changed(self, event: BreakerChanged) -> None:
        name = self._labels["breaker"].value(event.breaker)
        self._transitions.add((name, event.state_to, event.reason))
        if name in self._states:
            self._states[name] = _STATES[event.state_to]

    def _credentials(self, event: CredentialsRefused) -> None:
        if event.provider in self._refused:
            self._refused[event.provider] = event.refused

    def forget(self, label: str, value: str) -> None:
        """Drop all series of an id that is no longer configured and whose place is needed."""
        self._transitions.forget(label, value)
        self._denied.forget(label, value)

    def copy(self) -> Iterator[tuple[str, exposition.Rows]]:
        """Every family's rows."""
        yield "attempts_denied_total", self._denied.copy()
        yield "breaker_state", [((name,), state) for name, state in self._states.items()]
        yield "breaker_transitions_total", self._transitions.copy()
        yield "credentials_refused", [((name,), refused) for name, refused in self._refused.items()]
