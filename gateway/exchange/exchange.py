"""Drives one client request. See the package's docstring for its course.

Whatever happens on the way (the client leaves, the upstream breaks, the process drains), the attempt that was begun is
settled by its `Settlement`, which never waits for anything.
"""

from __future__ import annotations

import asyncio
import time

from gateway.context import RequestContext
from gateway.errors import UpstreamFailure
from gateway.exchange.events import Events
from gateway.exchange.head import answer_headers, as_json, is_event_stream, is_readable
from gateway.exchange.metered import MeteredReader
from gateway.exchange.outbox import ClientTooSlow, Outbox
from gateway.exchange.settlement import Settlement
from gateway.exchange.sinks import AnswerSink, ClientSink
from gateway.reply import Reply
from gateway.telemetry.recorder import Recorder
from gateway.upstream.attempt import NOTHING, Attempt, client_error, outcome_of
from gateway.upstream.dialects import openai as dialect
from gateway.upstream.refusals import credentials_refused, failed_answer, may_be_billed, names_our_account, refusal
from gateway.upstream.secrets import mask
from gateway.upstream.transport import ConnectionBroken, Response, Transport, TransportError
from gateway.wire.answers import MalformedAnswer, read_answer
from gateway.wire.assemble import Assembler
from gateway.wire.ending import Stream, length_ending
from gateway.wire.requests import EMBEDDINGS, ModelRequest
from gateway.wire.sse import EventSplitter, EventTooLarge
from routing.money import NanoUsd, format_usd

LATE_USAGE_S = 2.0
"""How long a finished stream is read on for late usage."""

CLIENT_CLOSED_REQUEST = 499
"""The status recorded (nobody receives it) for a client that left; nginx's convention."""

FIRST_ATTEMPT = 1
"""The number of a request's first upstream call."""

_INTERRUPTED = {"cancelled": "client_gone", "drained": "drained"}


class Exchange:
    """Serves one routed request. Not reusable."""

    __slots__ = (
        "_attempt",
        "_client_left",
        "_context",
        "_endpoint",
        "_reply",
        "_request",
        "_settlement",
        "_transport",
    )

    def __init__(
        self, context: RequestContext, request: ModelRequest, reply: Reply, transport: Transport, recorder: Recorder
    ) -> None:
        self._context = context
        self._request = request
        self._reply = reply
        self._transport = transport
        self._client_left = False
        self._attempt = self._begin()
        self._settlement = Settlement(context, request, self._attempt, recorder)

    def _begin(self) -> Attempt:
        context, permit = self._context, self._context.permit
        assert context.route is not None, "an exchange begins after routing"  # noqa: S101 -- guards a programming error
        deployment = context.deployment = context.route.candidates[0] if permit is None else permit.deployment
        endpoint = self._endpoint = context.snapshot.endpoints[deployment.provider]
        call = self._transport.start(
            endpoint,
            b"POST",
            dialect.path(context.api),
            dialect.head(context.request_id, context.forwarded, endpoint.headers),
            dialect.body(
                self._request,
                deployment.upstream_model,
                max_tokens=self._longest() if permit is None else permit.max_output_tokens,
                max_tokens_field=deployment.max_tokens_field,
                stream=permit is not None and permit.offer.metered,
                running_usage=permit is not None and permit.running_usage,
            ),
        )
        return Attempt(FIRST_ATTEMPT, deployment, call)

    def _longest(self) -> int | None:
        """The agent's bound on answers, which holds without any budget too."""
        context = self._context
        assert context.principal is not None, "an exchange begins after authentication"  # noqa: S101 -- as above
        if context.api == EMBEDDINGS:
            return None
        return context.snapshot.agents[context.principal.agent].max_output_tokens

    async def run(self) -> None:
        """Serve the request to its end. Raises FareboxError when the answer failed; the client is not told here."""
        reply = self._reply
        try:
            reply.on_disconnect(self._leave)
            await self._serve()
        except TransportError as error:
            self._broken(error)
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
        elif self._settlement.meter is not None and is_event_stream(response):
            await (self._relay_metered(response) if self._request.stream else self._assemble(response))
        elif self._request.stream and is_event_stream(response):
            await self._relay_stream(response)
        else:
            await self._relay_whole(response)

    async def _relay_refusal(self, response: Response) -> None:
        """An error status: nothing was generated, so nothing was billed, but for those of a proxy that gave up."""
        attempt, context = self._attempt, self._context
        body = mask(await response.read(), self._endpoint.headers)
        attempt.first_byte_s = time.monotonic()
        if may_be_billed(response.status):
            self._settlement.unseen("timeout")
        else:
            self._settlement.nothing("error")
        error = refusal(attempt.deployment.provider, response.status, body)
        if error is not None:
            raise error
        context.outcome, context.status, context.error_code = "upstream_error", response.status, "upstream_status"
        headers = answer_headers(context, attempt.deployment, response)
        headers.append((b"x-farebox-upstream-status", b"%d" % response.status))
        await self._reply.whole(response.status, headers, body)

    async def _relay_whole(self, response: Response) -> None:
        body = await response.read()
        attempt, context, settlement = self._attempt, self._context, self._settlement
        attempt.first_byte_s = context.first_byte_s = time.monotonic()
        try:
            answer = read_answer(body)
        except MalformedAnswer:
            settlement.size("malformed", 1, len(body))
            raise UpstreamFailure(
                f"The provider `{attempt.deployment.provider}` sent an answer that is not valid JSON.",
                upstream_status=response.status,
                reason="malformed",
            ) from None
        usage = answer.usage
        if answer.failed:
            settlement.settle("error", usage or NOTHING, estimated=False, service_tier=answer.service_tier)
            raise failed_answer(attempt.deployment.provider, response.status)
        if usage is None:
            bill = settlement.size("ok", 0, answer.text_bytes, service_tier=answer.service_tier)
        else:
            tier, cut = answer.service_tier, context.permit is not None and answer.cut
            bill = settlement.settle("ok", usage, estimated=False, service_tier=tier, cut=cut)
        context.outcome = "ok"
        await self._whole(response, body, bill.cost)

    async def _whole(self, response: Response, body: bytes, cost: NanoUsd) -> None:
        """Send a complete answer with its cost."""
        context = self._context
        usd = format_usd(cost).encode()
        headers = answer_headers(context, self._attempt.deployment, response)
        if self._settlement.meter is not None:
            headers = as_json(headers)
        headers.append((b"x-farebox-cost-usd", usd))
        headers.append((b"x-litellm-response-cost", usd))
        if context.recorded_answer is not None:
            context.recorded_answer.append(body)
        context.status, context.error_code = response.status, ""
        await self._reply.whole(response.status, headers, body)

    async def _start_stream(self, response: Response) -> None:
        headers = answer_headers(self._context, self._attempt.deployment, response)
        headers.append((b"cache-control", b"no-cache"))
        headers.append((b"x-accel-buffering", b"no"))
        self._context.status = response.status
        await self._reply.start(response.status, headers)

    async def _relay_stream(self, response: Response) -> None:
        """Events leave as they arrive; only the usage event is held to the contract."""
        context, reply, attempt, observer = self._context, self._reply, self._attempt, self._settlement.observer
        events = Events(context, self._request, self._endpoint, self._settlement)
        splitter = EventSplitter()
        await self._start_stream(response)
        ending: asyncio.TimerHandle | None = None
        try:
            while chunk := await response.next_chunk():
                if attempt.first_byte_s is None:
                    attempt.first_byte_s = context.first_byte_s = time.monotonic()
                out = events.pass_on(splitter.feed(chunk))
                if out:
                    await reply.send(out)
                if observer.done and ending is None:  # what is still to come, usage say, has to come soon
                    ending = asyncio.get_running_loop().call_later(LATE_USAGE_S, attempt.call.abort)
        except EventTooLarge as error:
            attempt.call.abort()
            raise ConnectionBroken(str(error), sent=True) from None
        except TransportError:
            if not observer.complete:  # broken after its proper end: whole all the same
                raise
        finally:
            if ending is not None:
                ending.cancel()
        await self._end_stream(events, splitter.rest)

    async def _relay_metered(self, response: Response) -> None:
        """As `_relay_stream`, but read at the provider's pace, and ended in time when the money is."""
        context, reply, settlement = self._context, self._reply, self._settlement
        events = Events(context, self._request, self._endpoint, settlement)
        outbox, reader = Outbox(reply), self._reader(response)
        await self._start_stream(response)
        try:
            rest = await reader.read(response, ClientSink(events, outbox), LATE_USAGE_S)
            if rest is not None or settlement.observer.failed:
                await self._end_stream(events, rest or b"", outbox)
                return
            ending = self._shortened(include_usage=self._request.include_usage)
            if context.recorded_answer is not None:
                context.recorded_answer += ending
            await outbox.sent()
            await reply.send(b"".join(ending))
            await reply.finish()
        except ClientTooSlow:
            self._leave()
            self._interrupt("cancelled")
        except TransportError as error:
            if not self._client_left:
                self._settle_broken(error)
                await outbox.sent()  # what came before it broke
            raise
        finally:
            outbox.drop()

    async def _assemble(self, response: Response) -> None:
        """A stream of our own wish, for a client that does not stream: put together to the whole answer."""
        context, settlement, attempt = self._context, self._settlement, self._attempt
        observer, assembler = settlement.observer, Assembler(context.api)
        sink = AnswerSink(observer, assembler)
        rest = await self._reader(response).read(response, sink, LATE_USAGE_S)
        if rest is None and not observer.failed:
            for event in self._shortened(include_usage=True):
                assembler.feed(event)
        else:
            if rest:
                await sink.take([rest])
            if observer.failed or not observer.complete or assembler.malformed:
                settlement.observed("cut")
                if observer.failed:
                    blame = credentials_refused if names_our_account(sink.failure) else failed_answer
                    raise blame(attempt.deployment.provider, response.status)
                raise self._cut_short()
            settlement.observed("ok")
            context.outcome = "ok"
        context.first_byte_s = time.monotonic()
        await self._whole(response, assembler.body(), context.cost)

    def _reader(self, response: Response) -> MeteredReader:
        permit, settlement = self._context.permit, self._settlement
        assert permit is not None, "only permits are metered"  # noqa: S101 -- guards a programming error
        assert settlement.meter is not None  # noqa: S101 -- as above
        if not is_readable(response):
            self._attempt.call.abort()
            raise ConnectionBroken("its stream is compressed in a way that cannot be read", sent=True)
        return MeteredReader(self._context, permit, settlement, settlement.meter)

    def _shortened(self, *, include_usage: bool) -> list[bytes]:
        """Settle a stream whose money has ended, and give the events that end it properly."""
        context, deployment = self._context, self._attempt.deployment
        bill = self._settlement.shortened()
        context.outcome, context.error_code = "shortened", ""
        stream = Stream(
            context.api,
            self._request.profile.answers,
            include_usage,
            context.request_id,
            deployment.upstream_model,
            int(context.arrived_at_s),
        )
        return length_ending(stream, self._settlement.observer, bill.usage, bill.cost)

    async def _end_stream(self, events: Events, rest: bytes, outbox: Outbox | None = None) -> None:
        """The upstream has nothing more to say. It is settled before a slow client has been sent everything."""
        observer, context = self._settlement.observer, self._context
        if rest:  # a last event without its blank line
            rest = events.pass_on([rest])
        if not observer.complete:
            self._settlement.observed("cut")
            context.outcome = "cut"
            if outbox is not None:
                await outbox.sent()
            if observer.failed:  # the client has seen the provider's own error event, or sees it now
                context.error_code = "upstream_error"
                if rest:
                    await self._reply.send(rest)
                await self._reply.finish()
                return
            raise self._cut_short()
        self._settlement.observed("ok")
        context.outcome, context.error_code = "ok", ""
        if outbox is not None:
            await outbox.sent()
        if rest:
            await self._reply.send(rest)
        await self._reply.finish()

    def _cut_short(self) -> UpstreamFailure:
        return UpstreamFailure(
            f"The stream of the provider `{self._attempt.deployment.provider}` ended before its answer was whole.",
            reason="stream_cut",
        )

    def _broken(self, error: TransportError) -> None:
        attempt = self._attempt
        if self._client_left:
            self._interrupt("cancelled")
            return
        self._settle_broken(error)
        raise client_error(attempt.deployment.provider, error) from None

    def _settle_broken(self, error: TransportError) -> None:
        if self._attempt.settled:
            return
        outcome = outcome_of(error)
        if not error.sent:
            self._settlement.nothing(outcome)
        elif self._is_refused():
            self._settlement.nothing("error")
        else:
            self._settlement.observed(outcome)

    def _is_refused(self) -> bool:
        """Whether the provider's status says that nothing was generated."""
        status = self._attempt.status
        return status is not None and not 200 <= status < 300 and not may_be_billed(status)

    def _leave(self) -> None:
        """The client is gone: tell the upstream at once, unless its stream has ended and only late usage may follow."""
        self._client_left = True
        call = self._attempt.call
        if self._settlement.observer.complete:
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
        if not attempt.call.sent or self._is_refused():
            self._settlement.nothing(outcome)
        else:
            self._settlement.observed(outcome)

    def _measure(self) -> None:
        """Whole answers: all but the upstream's time is ours. Streams: ours is what came before the upstream send."""
        attempt = self._attempt
        until_s = attempt.first_byte_s if attempt.first_byte_s and not self._request.stream else time.monotonic()
        self._context.upstream_s += until_s - attempt.sent_s
