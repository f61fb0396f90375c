"""What is known of a request while it is served: filled in stage by stage, read by the exchange and the record."""

from __future__ import annotations

import os
import random
import time

from gateway.config.snapshot import Snapshot
from gateway.deciding.decided import Decided
from gateway.identity.attribution import Attribution, Headers
from gateway.identity.keys import Principal
from gateway.telemetry.events import RequestFinished
from gateway.wire.requests import ModelRequest
from routing.catalog import Deployment
from routing.money import NanoUsd
from routing.router import Route

_UNATTRIBUTED = Attribution()
_random_bits = random.Random(os.urandom(32)).getrandbits  # noqa: S311 -- see below
"""Unique is enough, and a system call a request is spared: whose request an id is, the journal's row says."""


def new_request_id(now_s: float) -> str:
    """An id that sorts by time: `req_`, 12 hex digits of milliseconds, 14 random ones."""
    return f"req_{int(now_s * 1000):012x}{_random_bits(56):014x}"


class RequestContext:
    """One client request on its way through the pipeline."""

    __slots__ = (
        "api",
        "arrived_at_s",
        "arrived_s",
        "attribution",
        "body",
        "cost",
        "decided",
        "deployment",
        "error_code",
        "first_byte_s",
        "forwarded",
        "loop",
        "looping",
        "outcome",
        "principal",
        "prompt",
        "recorded_answer",
        "request",
        "request_id",
        "route",
        "snapshot",
        "status",
        "upstream_s",
    )

    def __init__(self, api: str, snapshot: Snapshot) -> None:
        self.api = api
        self.snapshot = snapshot
        self.arrived_s = time.monotonic()
        self.arrived_at_s = time.time()
        self.request_id = new_request_id(self.arrived_at_s)
        self.principal: Principal | None = None
        self.attribution = _UNATTRIBUTED
        self.forwarded: Headers = []
        self.body = b""
        self.request: ModelRequest | None = None
        self.prompt: int | None = None
        """Its fingerprint, where its run is watched for prompts that repeat."""
        self.loop: str | None = None
        """The kind of loop that was found in it, and that its client is told of."""
        self.looping = False
        """Whether one was found, told or not."""
        self.route: Route | None = None
        self.decided: Decided | None = None
        """What a policy decided; None where none rules the request."""
        self.deployment: Deployment | None = None
        """Where the latest attempt went."""
        self.outcome = "error"
        self.status = 500
        self.error_code = "internal_error"
        self.cost = NanoUsd(0)
        self.first_byte_s: float | None = None
        """Monotonic time of the first body byte handed to the client."""
        self.upstream_s = 0.0
        """Seconds spent waiting for upstreams."""
        self.recorded_answer: list[bytes] | None = [] if snapshot.storage.record_content else None

    @property
    def deadline_s(self) -> float:
        """When nothing new is begun any more, in `time.monotonic()`: as its client says, no later than configured."""
        route, snapshot, wanted_s = self.route, self.snapshot, self.attribution.timeout_s
        assert route is not None, "only a routed request has one"  # noqa: S101 -- guards a programming error
        longest_s = max(
            [
                (snapshot.timeouts.get(each.id) or snapshot.endpoints[each.provider].timeouts).total_s
                for each in route.candidates
            ]
        )
        return self.arrived_s + (longest_s if wanted_s is None else min(wanted_s, longest_s))

    def finished(self) -> RequestFinished:
        """The request's row. Only for identified requests."""
        principal = self.principal
        assert principal is not None, "a request without identity has no row"  # noqa: S101 -- guards a programming error
        request, route, attribution = self.request, self.route, self.attribution
        latency_s = time.monotonic() - self.arrived_s
        deployment = self.deployment
        return RequestFinished(
            self.request_id,
            self.arrived_at_s,
            principal.org,
            principal.team,
            principal.agent,
            principal.key_id,
            attribution.run,
            attribution.parent_run,
            attribution.session,
            attribution.user,
            attribution.tags,
            attribution.value_nano_usd,
            attribution.sdk,
            self.api,
            request.model if request is not None else "",
            request.profile if request is not None else None,
            deployment.id if deployment is not None else "",
            deployment.provider if deployment is not None else "",
            f"{route.rule}; {route.reason}" if route is not None else "",
            self.outcome,
            self.status,
            self.error_code,
            latency_s * 1000,
            None if self.first_byte_s is None else (self.first_byte_s - self.arrived_s) * 1000,
            max(0.0, latency_s - self.upstream_s) * 1000,
            request.stream if request is not None else False,
            self.cost,
            None if self.decided is None else self.decided.choice,
            None if self.recorded_answer is None else (self.body, b"".join(self.recorded_answer)),
            attribution.traceparent,
        )
