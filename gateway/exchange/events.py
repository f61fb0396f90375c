"""The events of a stream on their way through: observed, and the usage event held to the contract."""

from __future__ import annotations

from gateway.config.snapshot import Endpoint
from gateway.context import RequestContext
from gateway.exchange.settlement import Settlement
from gateway.upstream.refusals import credentials_refused, names_our_account
from gateway.upstream.secrets import mask
from gateway.wire.requests import ModelRequest
from gateway.wire.wires import UsageEvent
from routing.money import NanoUsd


class Events:
    """Looks at a stream's events and gives what the client is to see of them."""

    __slots__ = ("_asked_running", "_context", "_endpoint", "_include_usage", "_observe", "_observer", "_settlement")

    def __init__(
        self, context: RequestContext, request: ModelRequest, endpoint: Endpoint, settlement: Settlement
    ) -> None:
        self._context = context
        self._include_usage = request.include_usage
        permit = settlement.permit
        self._asked_running = permit is not None and permit.running_usage and not request.running_usage
        """Whether we alone asked for usage in every event."""
        self._endpoint = endpoint
        self._settlement = settlement
        self._observer = settlement.observer
        self._observe = self._observer.observe

    def pass_on(self, events: list[bytes]) -> bytes:
        """Observe events and join them as the client is to have them. Raises UpstreamCredentials, settled then."""
        if len(events) == 1:  # the usual case, one event a read
            event = events[0]
            usage_chunk = self._observe(event)
            out = event if usage_chunk is None else self._usage_event(event, usage_chunk)
        else:
            observe = self._observe
            out = b"".join(
                [event if (found := observe(event)) is None else self._usage_event(event, found) for event in events]
            )
        if self._observer.failed:
            out = self._checked_error(out)
        if self._context.recorded_answer is not None:
            self._context.recorded_answer.append(out)
        return out

    def _checked_error(self, out: bytes) -> bytes:
        """Events with a provider's error among them: told as our own if it is about our account, else without keys."""
        if names_our_account(out):
            attempt = self._settlement.attempt
            attempt.call.abort()
            self._settlement.observed("cut")
            raise credentials_refused(attempt.deployment.provider, attempt.status or 200)
        return mask(out, self._endpoint.headers)

    def _usage_event(self, event: bytes, chunk: UsageEvent) -> bytes:
        """The usage event as the client is to see it: with its cost, or not at all when it did not ask for it."""
        if self._asked_running and not chunk.standalone:  # SDKs would add up what every event says
            return chunk.without_usage(null=self._include_usage)
        if not self._include_usage:
            return b"" if chunk.standalone else event
        observer = self._observer
        assert observer.usage is not None, "a usage chunk was seen"  # noqa: S101 -- guards a programming error
        cost = self._settlement.price(observer.usage, observer.service_tier, estimated=False).cost
        return chunk.with_cost(NanoUsd(self._context.cost + cost))  # with what attempts before it have cost
