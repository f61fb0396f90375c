"""One client request with all its upstream attempts: starts them, relays their answer, settles each exactly once.

    begin attempt -> wait for the head -> refusal | whole answer | stream -> settle -> answered

Whatever happens on the way (the client leaves, the upstream breaks, the process drains), the attempt that was begun is
settled in `_settle`, which never waits for anything.
"""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache

from gateway.context import RequestContext
from gateway.errors import UpstreamFailure
from gateway.reply import Headers, Reply
from gateway.telemetry.events import ChargePosted
from gateway.telemetry.recorder import Recorder
from gateway.upstream.attempt import NOTHING, Attempt, Bill, ServiceTiers, client_error, outcome_of
from gateway.upstream.dialects import openai as dialect
from gateway.upstream.headers import client_headers
from gateway.upstream.refusals import credentials_refused, failed_answer, may_be_billed, names_our_account, refusal
from gateway.upstream.secrets import mask
from gateway.upstream.transport import ConnectionBroken, Response, Transport, TransportError
from gateway.wire.answers import MalformedAnswer, StreamObserver, UsageChunk, read_answer
from gateway.wire.requests import ModelRequest
from gateway.wire.sse import EventSplitter, EventTooLarge
from routing.catalog import Deployment
from routing.money import NanoUsd, Usage, format_usd
from routing.router import Route

LATE_USAGE_S = 2.0
"""How long a finished stream is read on for late usage."""

CLIENT_CLOSED_REQUEST = 499
"""The status recorded (nobody receives it) for a client that left; nginx's convention."""

_INTERRUPTED = {"cancelled": "client_gone", "drained": "drained"}
_PURPOSES = {"ok": "useful", "cancelled": "cancelled", "drained": "cancelled"}


class Exchange:
    """Serves one routed request. Not reusable."""

    __slots__ = (
        "_attempt",
        "_client_left",
        "_context",
        "_endpoint",
        "_observer",
        "_recorder",
        "_reply",
        "_request",
        "_transport",
    )

    def __init__(
        self, context: RequestContext, request: ModelRequest, reply: Reply, transport: Transport, recorder: Recorder
    ) -> None:
        self._context = context
        self._request = request
        self._reply = reply
        self._transport = transport
        self._recorder = recorder
        self._client_left = False
        self._observer = StreamObserver(request.profile.answers)
        self._attempt = self._begin()

    def _begin(self) -> Attempt:
        context = self._context
        assert context.route is not None, "an exchange begins after routing"  # noqa: S101 -- guards a programming error
        deployment = context.route.candidates[0]
        endpoint = self._endpoint = context.snapshot.endpoints[deployment.provider]
        call = self._transport.start(
            endpoint,
            b"POST",
            dialect.path(context.api),
            dialect.head(context.request_id, context.forwarded, endpoint.headers),
            dialect.body(self._request, deployment.upstream_model),
        )
        return Attempt(1, deployment, call)

    async def run(self) -> None:
        """Serve the request to its end. Raises FareboxError when the answer failed; the client is not told here."""
        reply = self._reply
        reply.on_disconnect(self._leave)
        try:
            await self._serve()
        except TransportError as error:
            await self._broken(error)
        except asyncio.CancelledError:
            self._interrupt("drained")
            raise
        finally:
            reply.on_disconnect(None)
            if not self._attempt.settled:  # an error nobody foresaw: the call may have been billed all the same
                self._interrupt("malformed")
            self._measure()

    async def _serve(self) -> None:
        attempt = self._attempt
        response = await attempt.call.response()
        attempt.status = response.status
        if not 200 <= response.status < 300:
            await self._relay_refusal(response)
        elif self._request.stream and _is_event_stream(response):
            await self._relay_stream(response)
        else:
            await self._relay_whole(response)

    async def _relay_refusal(self, response: Response) -> None:
        """An error status: nothing was generated, so nothing was billed, but for those of a proxy that gave up."""
        attempt, context = self._attempt, self._context
        body = mask(await response.read(), self._endpoint.headers)
        attempt.first_byte_s = time.monotonic()
        if may_be_billed(response.status):
            self._settle("timeout", attempt.estimate_unseen(self._request.profile), estimated=True)
        else:
            self._settle("error", NOTHING, estimated=False)
        error = refusal(attempt.deployment.provider, response.status, body)
        if error is not None:
            raise error
        context.outcome, context.status, context.error_code = "upstream_error", response.status, "upstream_status"
        headers = self._headers(response)
        headers.append((b"x-farebox-upstream-status", b"%d" % response.status))
        await self._reply.whole(response.status, headers, body)

    async def _relay_whole(self, response: Response) -> None:
        body = await response.read()
        attempt, context = self._attempt, self._context
        attempt.first_byte_s = context.first_byte_s = time.monotonic()
        try:
            answer = read_answer(body)
        except MalformedAnswer:
            self._settle("malformed", attempt.estimate(self._request.profile, 1, len(body)), estimated=True)
            raise UpstreamFailure(
                f"The provider `{attempt.deployment.provider}` sent an answer that is not valid JSON.",
                upstream_status=response.status,
                reason="malformed",
            ) from None
        usage = answer.usage
        if answer.failed:
            self._settle("error", usage or NOTHING, estimated=False, service_tier=answer.service_tier)
            raise failed_answer(attempt.deployment.provider, response.status)
        estimated = usage is None
        if usage is None:
            usage = attempt.estimate(self._request.profile, 0, answer.text_bytes)
        bill = self._settle("ok", usage, estimated=estimated, service_tier=answer.service_tier)
        cost = format_usd(bill.cost).encode()
        headers = self._headers(response)
        headers.append((b"x-farebox-cost-usd", cost))
        headers.append((b"x-litellm-response-cost", cost))
        if context.recorded_answer is not None:
            context.recorded_answer.append(body)
        context.outcome, context.status, context.error_code = "ok", response.status, ""
        await self._reply.whole(response.status, headers, body)

    async def _relay_stream(self, response: Response) -> None:
        """Events leave as they arrive; only the usage event is held to the contract."""
        context, reply, attempt = self._context, self._reply, self._attempt
        splitter = EventSplitter()
        headers = self._headers(response)
        headers.append((b"cache-control", b"no-cache"))
        headers.append((b"x-accel-buffering", b"no"))
        context.status = response.status
        await reply.start(response.status, headers)
        ending: asyncio.TimerHandle | None = None
        try:
            while chunk := await response.next_chunk():
                if attempt.first_byte_s is None:
                    attempt.first_byte_s = context.first_byte_s = time.monotonic()
                events = self._pass_on(splitter.feed(chunk))
                if events:
                    await reply.send(events)
                if self._observer.done and ending is None:  # what is still to come, usage say, has to come soon
                    ending = asyncio.get_running_loop().call_later(LATE_USAGE_S, attempt.call.abort)
        except EventTooLarge as error:
            attempt.call.abort()
            raise ConnectionBroken(str(error), sent=True) from None
        except TransportError:
            if not self._observer.complete:  # broken after its proper end: whole all the same
                raise
        finally:
            if ending is not None:
                ending.cancel()
        await self._end_stream(splitter.rest)

    def _pass_on(self, events: list[bytes]) -> bytes:
        if len(events) == 1:  # the usual case, one event a read
            event = events[0]
            usage_chunk = self._observer.observe(event)
            out = event if usage_chunk is None else self._usage_event(event, usage_chunk)
        else:
            observe = self._observer.observe
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
            self._attempt.call.abort()
            self._settle_observed("cut")
            raise credentials_refused(self._attempt.deployment.provider, self._attempt.status or 200)
        return mask(out, self._endpoint.headers)

    def _usage_event(self, event: bytes, chunk: UsageChunk) -> bytes:
        """The usage event as the client is to see it: with its cost, or not at all when it did not ask for it."""
        if not self._request.include_usage:
            return b"" if chunk.standalone else event
        observer = self._observer
        assert observer.usage is not None, "a usage chunk was seen"  # noqa: S101 -- guards a programming error
        tiers = ServiceTiers(self._request.profile.service_tier, observer.service_tier)
        bill = self._attempt.price(observer.usage, tiers, self._context.arrived_at_s, estimated=False)
        return chunk.with_cost(bill.cost)

    async def _end_stream(self, rest: bytes) -> None:
        """The upstream has nothing more to say."""
        observer, context = self._observer, self._context
        if rest:  # a last event without its blank line
            rest = self._pass_on([rest])
        if not observer.complete:
            self._settle_observed("cut")
            context.outcome = "cut"
            if observer.failed:  # the client has seen the provider's own error event, or sees it now
                context.error_code = "upstream_error"
                if rest:
                    await self._reply.send(rest)
                await self._reply.finish()
                return
            raise UpstreamFailure(
                f"The stream of the provider `{self._attempt.deployment.provider}` ended before its answer was whole.",
                reason="stream_cut",
            )
        self._settle_observed("ok")
        context.outcome, context.error_code = "ok", ""
        if rest:
            await self._reply.send(rest)
        await self._reply.finish()

    async def _broken(self, error: TransportError) -> None:
        attempt = self._attempt
        if self._client_left:
            self._interrupt("cancelled")
            return
        outcome = outcome_of(error)
        if not attempt.settled:
            if not error.sent:
                self._settle(outcome, NOTHING, estimated=False)
            elif attempt.status is not None and not 200 <= attempt.status < 300:
                self._settle("error", NOTHING, estimated=False)
            else:
                self._settle_observed(outcome)
        raise client_error(attempt.deployment.provider, error) from None

    def _leave(self) -> None:
        """The client is gone: tell the upstream at once, unless its stream has ended and only late usage may follow."""
        self._client_left = True
        call = self._attempt.call
        if self._observer.complete:
            asyncio.get_running_loop().call_later(LATE_USAGE_S, call.abort)
        else:
            call.abort()

    def _interrupt(self, outcome: str) -> None:
        """End the attempt now and settle it as what was seen of it."""
        attempt, context = self._attempt, self._context
        attempt.call.abort()
        if outcome in _INTERRUPTED:
            context.outcome = context.error_code = _INTERRUPTED[outcome]
            context.status = context.status if self._reply.started else CLIENT_CLOSED_REQUEST
        if attempt.settled:
            return
        if not attempt.call.sent or (attempt.status is not None and attempt.status >= 300):
            self._settle(outcome, NOTHING, estimated=False)
        else:
            self._settle_observed(outcome)

    def _settle_observed(self, outcome: str) -> None:
        """Settle with the provider's usage where it came, else with an estimate of what was seen, or may have been."""
        observer, attempt, profile = self._observer, self._attempt, self._request.profile
        if observer.usage is not None and (observer.complete or not observer.outdated):
            self._settle(outcome, observer.usage, estimated=False, service_tier=observer.service_tier)
        elif observer.content_events:
            usage = attempt.estimate(profile, observer.content_events, observer.text_bytes)
            if observer.usage is not None:  # what was reported before the last content, at least
                usage = Usage(*map(max, usage, observer.usage))
            self._settle(outcome, usage, estimated=True, service_tier=observer.service_tier)
        else:
            self._settle(outcome, attempt.estimate_unseen(profile), estimated=True)

    def _settle(self, outcome: str, usage: Usage, *, estimated: bool, service_tier: str | None = None) -> Bill:
        attempt, context = self._attempt, self._context
        assert not attempt.settled, "an attempt is settled once"  # noqa: S101 -- guards a programming error
        attempt.settled = True
        principal, route, deployment = context.principal, context.route, attempt.deployment
        assert principal is not None  # noqa: S101 -- as above
        assert route is not None  # noqa: S101 -- as above
        tiers = ServiceTiers(self._request.profile.service_tier, service_tier)
        bill = attempt.price(usage, tiers, context.arrived_at_s, estimated=estimated)
        context.cost = NanoUsd(context.cost + bill.cost)
        now_s = time.monotonic()
        first_byte_s = attempt.first_byte_s
        self._recorder.record(
            ChargePosted(
                f"{context.request_id}.{attempt.number}",
                context.request_id,
                attempt.number,
                time.time(),
                principal.org,
                principal.team,
                principal.agent,
                route.model.name,
                deployment.id,
                deployment.provider,
                deployment.upstream_model,
                usage,
                bill.price_point,
                bill.service_tier,
                bill.cost,
                estimated,
                deployment.unpriced,
                outcome,
                _PURPOSES.get(outcome, "failed"),
                attempt.status,
                (now_s - attempt.sent_s) * 1000,
                None if first_byte_s is None else (first_byte_s - attempt.sent_s) * 1000,
            )
        )
        return bill

    def _headers(self, response: Response) -> Headers:
        """The answer's headers: the provider's that pass, and ours."""
        context, route = self._context, self._context.route
        assert route is not None  # noqa: S101 -- guards a programming error
        headers = client_headers(response.headers)
        headers.append((b"x-request-id", context.request_id.encode()))
        headers += labels_of(self._attempt.deployment, route)
        run = context.attribution.run
        if run is not None:
            headers.append((b"x-farebox-run", run.encode()))
        return headers

    def _measure(self) -> None:
        """Whole answers: all but the upstream's time is ours. Streams: ours is what came before the upstream send."""
        attempt = self._attempt
        until_s = attempt.first_byte_s if attempt.first_byte_s and not self._request.stream else time.monotonic()
        self._context.upstream_s += until_s - attempt.sent_s


def _is_event_stream(response: Response) -> bool:
    """Whether the answer is a stream; one that does not tell its type is taken for what was asked for."""
    types = [value for name, value in response.headers if name == b"content-type"]
    return not types or types[0].lower().startswith(b"text/event-stream")


@lru_cache(maxsize=4096)
def _labels(model: str, deployment: str, rule: str, reason: str) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-farebox-model", model.encode()),
        (b"x-farebox-deployment", deployment.encode()),
        (b"x-farebox-route", f"{rule}; {reason}".encode()),
    )


def labels_of(deployment: Deployment, route: Route) -> tuple[tuple[bytes, bytes], ...]:
    """The response headers that say what served a request."""
    return _labels(route.model.name, deployment.id, route.rule, route.reason)
