"""Asks providers for their lists of models now and then, which costs nothing: an outage is seen before a call meets it.

Only what fails counts, for the breakers of all the provider's deployments. A list that comes says nothing about the
models on it, so it closes no breaker: real calls do that.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from gateway.config.snapshot import Endpoint, Snapshot, Timeouts
from gateway.upstream.transport import ResponseTooLarge, TimedOut, Transport, TransportError, Unreachable
from routing.catalog import Deployment
from routing.failures import Failure, FailureKind

log = logging.getLogger("farebox.probes")

ANSWER_S: Final = 10.0
"""A list of models that takes longer is a failure."""
_SPREAD: Final = 0.2
"""Intervals are shorter by up to this share of them, so that gateways do not all ask at once."""
_ANTHROPIC: Final = b"anthropic-version: 2023-06-01\r\n"
_ACCEPT: Final = b"accept: application/json\r\nuser-agent: farebox\r\n"
_REFUSES_US: Final = (401, 402, 403)
_NO_LIST: Final = (404, 405, 501)


class Health(Protocol):
    """Who hears of failures: `gateway.upstream.health.UpstreamHealth`."""

    def view(self, candidates: Sequence[Deployment], now_s: float) -> object:
        """Who may be called. Deployments that nobody asked for before are watched from then on."""
        ...

    def ended(self, deployment: Deployment, attempt_id: str, began_s: float, failure: Failure | None) -> None:
        """A call that began at `began_s` ended so."""
        ...


class Probes:
    """All providers', one task each. Belongs to the running event loop."""

    def __init__(
        self,
        transport: Transport,
        health: Health,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        now_s: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`draw` gives a number of [0, 1) by chance; `now_s` is the time that `health` counts by."""
        self._transport = transport
        self._health = health
        self._sleep = sleep
        self._now_s = now_s
        self._draw = draw
        self._numbers = itertools.count(1)
        self._tasks: dict[str, tuple[Endpoint, asyncio.Task[None]]] = {}
        self._deployments: dict[str, tuple[Deployment, ...]] = {}

    def use(self, snapshot: Snapshot) -> None:
        """Probe a configuration's providers from now on. Those that it does not change go on as they are."""
        wanted = {name: each for name, each in snapshot.endpoints.items() if each.probe_s is not None}
        self._deployments = _by_provider(snapshot)
        for name, (endpoint, task) in list(self._tasks.items()):
            if wanted.get(name) != endpoint:
                task.cancel()
                del self._tasks[name]
        for name, endpoint in wanted.items():
            if name not in self._tasks:
                self._tasks[name] = (endpoint, asyncio.get_running_loop().create_task(self._watch(endpoint)))

    async def close(self) -> None:
        """Ask no more."""
        tasks = [task for _, task in self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, endpoint: Endpoint) -> None:
        interval_s = endpoint.probe_s or 0.0
        while True:
            await self._sleep(interval_s * (1 - _SPREAD * self._draw()))
            began_s = self._now_s()
            status, kind = await self._ask(endpoint)
            if status in _NO_LIST:
                log.warning("the provider %s has no list of models; it is not probed any more", endpoint.provider)
                return
            if kind is not None:
                log.info("probe of %s failed: %s, status %s", endpoint.provider, kind, status)
                self._tell(endpoint.provider, began_s, Failure(kind))

    def _tell(self, provider: str, began_s: float, failure: Failure) -> None:
        number, deployments = next(self._numbers), self._deployments.get(provider, ())
        self._health.view(deployments, began_s)
        for deployment in deployments:
            self._health.ended(deployment, f"probe-{number}", began_s, failure)

    async def _ask(self, endpoint: Endpoint) -> tuple[int | None, FailureKind | None]:
        """The status of its answer, and what failed, if anything did."""
        path, headers = request_of(endpoint)
        times = endpoint.timeouts
        answer_s = min(ANSWER_S, times.first_byte_s)
        timeouts = Timeouts(times.connect_s, answer_s, min(ANSWER_S, times.idle_s), times.connect_s + answer_s)
        call = self._transport.start(endpoint, b"GET", path, headers, b"", timeouts=timeouts)
        try:
            response = await call.response()
            status = response.status
            if kind_of(status) is None:
                await response.read()  # the connection is kept for real calls
            return status, kind_of(status)
        except ResponseTooLarge:  # what it says is of no interest
            return None, None
        except TransportError as error:
            return None, _kind_of_error(error)
        finally:
            call.abort()


def _by_provider(snapshot: Snapshot) -> dict[str, tuple[Deployment, ...]]:
    found: dict[str, dict[str, Deployment]] = {}
    for model in snapshot.catalog.models.values():
        for deployment in model.deployments:
            found.setdefault(deployment.provider, {})[deployment.id] = deployment
    return {provider: tuple(deployments.values()) for provider, deployments in found.items()}


def request_of(endpoint: Endpoint) -> tuple[bytes, bytes]:
    """Path and headers of the request for a provider's list of models."""
    path = b"/models"
    if endpoint.dialect == "azure":
        if endpoint.base_url.endswith((".com", ".us", ".cn")):
            path = b"/openai/models"
        if endpoint.api_version is not None:
            path += b"?api-version=" + endpoint.api_version.encode()
    return path, _ACCEPT + _ANTHROPIC if endpoint.dialect == "anthropic" else _ACCEPT


def kind_of(status: int) -> FailureKind | None:
    """What an answer's status says of the provider's health. Too many probes (429) say nothing of it."""
    if status in _REFUSES_US:
        return "credentials"
    return "server_error" if status >= 500 and status not in _NO_LIST else None


def _kind_of_error(error: TransportError) -> FailureKind:
    if isinstance(error, Unreachable) or (isinstance(error, TimedOut) and error.phase == "connect"):
        return "unreachable"
    return "timeout" if isinstance(error, TimedOut) else "cut"
