"""One attempt's answer on its way to the client.

Until there is something to show (a whole answer, or a stream's first content) nothing is sent, so another attempt can
still take this one's place: what fails by then is an `AttemptFailed`. From then on it is this answer or none, and what
fails is the client's error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from gateway.context import RequestContext
from gateway.errors import UpstreamCredentials, UpstreamFailure
from gateway.exchange.events import Events
from gateway.exchange.failures import AttemptFailed, Refusal, Superseded, Unverified
from gateway.exchange.head import answer_headers, as_json, is_event_stream, is_readable
from gateway.exchange.metered import MeteredReader
from gateway.exchange.outbox import ClientTooSlow, Outbox
from gateway.exchange.settlement import Settlement
from gateway.exchange.sinks import AnswerSink, ClientSink
from gateway.exchange.verifying import HELD_MAX_BYTES, assembled, calls_tools, failed_check, verify_of
from gateway.reply import Reply
from gateway.upstream.attempt import NOTHING, client_error, outcome_of
from gateway.upstream.dialects.translated import TranslatedResponse
from gateway.upstream.load import Flight
from gateway.upstream.refusals import credentials_refused, failed_answer, may_be_billed, names_our_account, refusal
from gateway.upstream.secrets import mask
from gateway.upstream.transport import ConnectionBroken, Response, TransportError
from gateway.upstream.verdict import SERVER_ERROR, failure_of_error, failure_of_status
from gateway.wire.answers import MalformedAnswer, WholeAnswer, is_filtered, read_answer
from gateway.wire.assemble import Assembler
from gateway.wire.ending import Stream, length_ending
from gateway.wire.requests import ModelRequest
from gateway.wire.sse import EventSplitter, EventTooLarge
from routing.failures import Failure
from routing.money import NanoUsd, format_usd

LATE_USAGE_S = 2.0
"""How long a finished stream is read on for late usage."""

CLIENT_CLOSED_REQUEST = 499
"""The status recorded (nobody receives it) for a client that left; nginx's convention."""

_LOOKED_AT = 64
"""The size of a stream that is held back is looked at once in so many pieces."""
HELD_BYTES = 65_536
"""A stream that says so much without any content is passed on as it is."""

_INTERRUPTED = {"cancelled": "client_gone", "drained": "drained"}


class Relay:
    """Brings one attempt's answer to the client, and settles the attempt. Not reusable."""

    __slots__ = (
        "_client_left",
        "_context",
        "_over",
        "_reply",
        "_request",
        "_superseded",
        "_verify",
        "attempt",
        "claim",
        "flight",
        "hedge_at_s",
        "interrupted",
        "on_begun",
        "probe",
        "settlement",
    )

    def __init__(
        self, context: RequestContext, reply: Reply, settlement: Settlement, over: Callable[[Relay], None]
    ) -> None:
        """`over` hears when it has run to its end, whichever that is."""
        assert context.request is not None  # noqa: S101 -- guards a programming error
        self._context = context
        self._over = over
        self._request: ModelRequest = context.request
        self._reply = reply
        self._client_left = False
        self._superseded = False
        self._verify = verify_of(context, context.request)
        self.claim: Callable[[Relay], None] | None = None
        """Called before the client's first byte, in a race: it raises Superseded when another relay was quicker."""
        self.hedge_at_s: float | None = None
        """When its first byte is late, in `time.monotonic()`; None: it is never hedged."""
        self.on_begun: Callable[[], None] | None = None
        """Hears that there is something to show."""
        self.flight: Flight | None = None
        """How it counts in its deployment's load; None where nobody asks for that."""
        self.probe = False
        """It took a breaker's probe."""
        self.interrupted = False
        """It was ended by the client or by us, which says nothing about the provider."""
        self.attempt = settlement.attempt
        self.settlement = settlement

    async def run(self) -> None:
        """Serve the client with the attempt's answer.

        Raises AttemptFailed as long as the client has seen nothing, FareboxError when the answer failed after that,
        Superseded when another attempt has answered.
        """
        attempt = self.attempt
        try:
            response = await attempt.call.response()
            attempt.status = status = response.status
            if not 200 <= status < 300:
                await self._refused(response)
            elif not (self._request.stream or self.settlement.meter is not None) or not is_event_stream(response):
                await self._relay_whole(response)
            elif self.settlement.meter is None:
                await self._relay_stream(response)
            else:
                await (self._relay_metered(response) if self._request.stream else self._assemble(response))
        except TransportError as error:
            self._broken(error)
        except UpstreamCredentials as error:  # told in the stream
            attempt.failure = failure = Failure("credentials")
            if self._reply.started:
                raise
            raise AttemptFailed(failure, error) from None
        except AttemptFailed as error:
            attempt.failure = error.failure._replace(billable=attempt.billed)
            raise
        finally:
            attempt.ended_s = time.monotonic()
            self._over(self)

    # --- what the client gets ---

    def _commit(self) -> None:
        """From here on the answer is this one. Raises Superseded."""
        if self.claim is not None:
            self.claim(self)
        if self.on_begun is not None:
            self.on_begun()
        self._context.deployment = self.attempt.deployment

    async def _start_stream(self, response: Response) -> None:
        self._commit()
        context = self._context
        context.first_byte_s = time.monotonic()
        headers = answer_headers(context, self.settlement, response)
        headers.append((b"cache-control", b"no-cache"))
        headers.append((b"x-accel-buffering", b"no"))
        context.status = response.status
        await self._reply.start(response.status, headers)

    async def _whole(self, response: Response, body: bytes, cost: NanoUsd) -> None:
        """Send a complete answer with what the request has cost, all its attempts together."""
        context = self._context
        usd = format_usd(cost).encode()
        headers = answer_headers(context, self.settlement, response)
        if self.settlement.meter is not None:
            headers = as_json(headers)
        headers.append((b"x-farebox-cost-usd", usd))
        headers.append((b"x-litellm-response-cost", usd))
        if context.recorded_answer is not None:
            context.recorded_answer.append(body)
        context.status, context.error_code = response.status, ""
        await self._reply.whole(response.status, headers, body)

    # --- the kinds of answers ---

    async def _refused(self, response: Response) -> None:
        """An error status: nothing was generated, so nothing was billed, but for those of a proxy that gave up."""
        attempt, provider = self.attempt, self.attempt.deployment.provider
        body = await response.read()
        attempt.first_byte_s = time.monotonic()
        if may_be_billed(response.status):
            self.settlement.unseen("timeout")
        else:
            self.settlement.nothing("error")
        said = response.original if isinstance(response, TranslatedResponse) else body
        failure = failure_of_status(attempt.complaint(response.status, said), response.headers, time.time())
        body = mask(body, attempt.target.endpoint.headers)
        error = refusal(provider, response.status, failure.kind)
        if error is not None:
            raise AttemptFailed(failure, error)
        headers = answer_headers(self._context, self.settlement, response)
        headers.append((b"x-farebox-upstream-status", b"%d" % response.status))
        raise AttemptFailed(failure, Refusal(response.status, headers, body))

    async def _relay_whole(self, response: Response) -> None:
        attempt, context, settlement = self.attempt, self._context, self.settlement
        body = b""
        try:
            body = await response.read()
            attempt.first_byte_s = time.monotonic()
            answer = read_answer(body)
        except MalformedAnswer:
            settlement.size("malformed", 1, len(body))
            error = UpstreamFailure(
                f"The provider `{attempt.deployment.provider}` sent an answer that is none: no JSON, or nothing in it.",
                upstream_status=response.status,
                reason="malformed",
            )
            raise AttemptFailed(Failure("malformed"), error) from None
        usage, tier = answer.usage, answer.service_tier
        if answer.failed:
            settlement.settle("error", usage or NOTHING, estimated=False, service_tier=tier)
            raise AttemptFailed(SERVER_ERROR, failed_answer(attempt.deployment.provider, response.status))
        if context.decided is not None:
            self._verify_whole(response, body, answer)
        if self._has_others and is_filtered(answer.choices):
            self._turn_down_whole(response, body, answer, "filtered")
        self._commit()
        context.first_byte_s = attempt.first_byte_s
        if usage is None:
            settlement.size("ok", 0, answer.text_bytes, service_tier=tier)
        else:
            cut = settlement.permit is not None and answer.cut
            settlement.settle("ok", usage, estimated=False, service_tier=tier, cut=cut)
        context.outcome = "ok"
        if context.decided is not None:
            context.decided.answer = body
        await self._whole(response, body, context.cost)

    async def _relay_stream(self, response: Response) -> None:
        """Events leave as they arrive; only the usage event is held to the contract."""
        reply, attempt, observer = self._reply, self.attempt, self.settlement.observer
        events = Events(self._context, self._request, attempt.target.endpoint, self.settlement)
        splitter = EventSplitter()
        held: list[bytes] | None = []
        ending: asyncio.TimerHandle | None = None
        try:
            while chunk := await response.next_chunk():
                out = events.pass_on(splitter.feed(chunk))
                if held is not None:
                    held.append(out)
                    if not self._has_begun(held):
                        continue
                    out = b""
                    if not self._holds(held):
                        await self._start_stream(response)
                        out, held = b"".join(held), None
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
        rest = events.pass_on([splitter.rest]) if splitter.rest else b""  # a last event without its blank line
        if held is not None:
            self._check_whole()
            rest = b"".join(held) + rest
            self._verify_stream(response, rest)
            await self._start_stream(response)
        await self._end_stream(rest)

    def _has_begun(self, held: list[bytes]) -> bool:
        """Whether there is something to show. Raises AttemptFailed when the stream begins with an error."""
        observer, attempt = self.settlement.observer, self.attempt
        if observer.failed:
            attempt.call.abort()
            self.settlement.observed("cut")
            raise AttemptFailed(SERVER_ERROR, failed_answer(attempt.deployment.provider, attempt.status or 200))
        if not (observer.begun or sum(map(len, held)) > HELD_BYTES):
            return False
        attempt.first_byte_s = time.monotonic()
        return True

    async def _relay_metered(self, response: Response) -> None:
        """As `_relay_stream`, but read at the provider's pace, and ended in time when the money is."""
        context, reply, settlement = self._context, self._reply, self.settlement
        events = Events(context, self._request, self.attempt.target.endpoint, settlement)
        outbox, reader = Outbox(reply), self._reader(response)

        async def begin(held: list[bytes]) -> bool:
            begun = self._has_begun(held) and not self._holds(held)
            if begun:
                await self._start_stream(response)
            return begun

        sink = ClientSink(events, outbox, begin)
        try:
            rest = await reader.read(response, sink, LATE_USAGE_S)
            if rest is not None or settlement.observer.failed:
                if rest:
                    await sink.take([rest])
                if not sink.begun:
                    self._check_whole()
                    self._verify_stream(response, sink.held)
                    await self._start_stream(response)
                    await sink.flush()
                await self._end_stream(b"", outbox)
                return
            if not sink.begun:
                await self._start_stream(response)
                await sink.flush()
            ending = self._shortened(include_usage=self._request.include_usage)
            if context.recorded_answer is not None:
                context.recorded_answer += ending
            await outbox.sent()
            await reply.send(b"".join(ending))
            await reply.finish()
        except ClientTooSlow:
            self.leave()
            self.interrupt("cancelled")
        except TransportError as error:
            if not (self._client_left or self._superseded) and reply.started:
                self._settle_broken(error)
                await outbox.sent()  # what came before it broke
            raise
        finally:
            outbox.drop()

    async def _assemble(self, response: Response) -> None:
        """A stream of our own wish, for a client that does not stream: put together to the whole answer."""
        context, settlement, attempt = self._context, self.settlement, self.attempt
        observer, assembler = settlement.observer, Assembler(context.api)
        sink = AnswerSink(observer, assembler)
        rest = await self._reader(response).read(response, sink, LATE_USAGE_S)
        if rest is None and not observer.failed:
            self._commit()
            for event in self._shortened(include_usage=True):
                assembler.feed(event)
        else:
            if rest:
                await sink.take([rest])
            if observer.failed and names_our_account(sink.failure):
                settlement.observed("cut")
                error = credentials_refused(attempt.deployment.provider, response.status)
                raise AttemptFailed(Failure("credentials"), error)
            self._check_whole(malformed=assembler.malformed)
            if context.decided is not None:
                self._verify_assembled(response, assembler.body())
            self._commit()
            settlement.observed("ok")
            context.outcome = "ok"
        context.first_byte_s = time.monotonic()
        await self._whole(response, assembler.body(), context.cost)

    def _reader(self, response: Response) -> MeteredReader:
        permit, settlement = self.settlement.permit, self.settlement
        assert permit is not None, "only permits are metered"  # noqa: S101 -- guards a programming error
        assert settlement.meter is not None  # noqa: S101 -- as above
        if not is_readable(response):
            self.attempt.call.abort()
            raise ConnectionBroken("its stream is compressed in a way that cannot be read", sent=True)
        return MeteredReader(self._context, permit, settlement, settlement.meter)

    def _shortened(self, *, include_usage: bool) -> list[bytes]:
        """Settle a stream whose money has ended, and give the events that end it properly."""
        context, deployment = self._context, self.attempt.deployment
        bill = self.settlement.shortened()
        context.outcome, context.error_code = "shortened", ""
        stream = Stream(
            context.api,
            self._request.profile.answers,
            include_usage,
            context.request_id,
            deployment.upstream_model,
            int(context.arrived_at_s),
        )
        return length_ending(stream, self.settlement.observer, bill.usage, bill.cost)

    # --- answers that have to pass a check first ---

    def _verify_whole(self, response: Response, body: bytes, answer: WholeAnswer) -> None:
        """Note whether a whole answer calls tools. Raises AttemptFailed, settled, when it fails its rule's checks."""
        decided, usage = self._context.decided, answer.usage
        assert decided is not None  # noqa: S101 -- the caller has looked
        decided.called_tools = calls_tools(answer.choices)
        check = self._failed_check(body, 0 if usage is None else usage.output_tokens)
        if check:
            self._turn_down_whole(response, body, answer, check)

    def _turn_down_whole(self, response: Response, body: bytes, answer: WholeAnswer, check: str) -> NoReturn:
        settlement, usage = self.settlement, answer.usage
        if usage is None:
            settlement.size("unverified", 0, answer.text_bytes, service_tier=answer.service_tier)
        else:
            cut = settlement.permit is not None and answer.cut
            settlement.settle("unverified", usage, estimated=False, service_tier=answer.service_tier, cut=cut)
        self._turn_down(check, lambda: self._give(response, body))

    @property
    def _has_others(self) -> bool:
        """Whether the route has candidates besides this one's."""
        route = self._context.route
        return route is not None and len(route.candidates) > 1

    def _verify_assembled(self, response: Response, body: bytes) -> None:
        """The same of an answer that was put together from a stream."""
        observer = self.settlement.observer
        self._note_calls()
        check = self._failed_check(body, 0 if observer.usage is None else observer.usage.output_tokens)
        if check:
            self.settlement.observed("unverified")
            self._turn_down(check, lambda: self._give(response, body))

    def _verify_stream(self, response: Response, events: bytes) -> None:
        """The same of a stream that was held back."""
        if self._verify is None:
            return
        usage, context = self.settlement.observer.usage, self._context
        check = self._failed_check(assembled(context.api, events), 0 if usage is None else usage.output_tokens)
        if not check:
            return
        self.settlement.observed("unverified")
        recorded = None if context.recorded_answer is None else context.recorded_answer.copy()
        if context.recorded_answer is not None:
            context.recorded_answer.clear()
        self._turn_down(check, lambda: self._give_stream(response, events, recorded))

    def _holds(self, held: list[bytes]) -> bool:
        """Whether a stream is held back until it is whole and verified."""
        if self._verify is None:
            return False
        return len(held) % _LOOKED_AT != 0 or sum(map(len, held)) < HELD_MAX_BYTES

    def _failed_check(self, body: bytes, output_tokens: int) -> str:
        return "" if self._verify is None else failed_check(self._verify, self._request, body, output_tokens)

    def _turn_down(self, check: str, give: Callable[[], Awaitable[None]]) -> NoReturn:
        decided, model = self._context.decided, self.attempt.deployment.model
        if decided is not None:
            decided.turned_down.append(model)
        if check == "filtered":  # elsewhere the same model may be allowed to answer
            raise AttemptFailed(Failure("content_filter"), Unverified(give, self.attempt.deployment.id, check))
        raise AttemptFailed(Failure("unverified"), Unverified(give, model, check))

    async def _give(self, response: Response, body: bytes) -> None:
        """Nothing better came: the client gets what was turned down."""
        self._taken()
        await self._whole(response, body, self._context.cost)

    async def _give_stream(self, response: Response, events: bytes, recorded: list[bytes] | None) -> None:
        self._taken()
        self._context.recorded_answer = recorded
        await self._start_stream(response)
        await self._reply.send(events)
        await self._reply.finish()

    def _taken(self) -> None:
        context = self._context
        context.outcome, context.error_code, context.first_byte_s = "ok", "", time.monotonic()
        context.deployment = self.attempt.deployment
        if context.decided is not None:
            context.decided.usage = self.settlement.usage

    def _note_calls(self) -> None:
        """Take note of a stream's tool calls, for the session."""
        if self._context.decided is not None:
            self._context.decided.called_tools = self.settlement.observer.called_tools

    # --- how they end ---

    def _check_whole(self, *, malformed: bool = False) -> None:
        """An answer that has ended before the client saw any of it. Raises AttemptFailed unless it is whole."""
        observer, provider = self.settlement.observer, self.attempt.deployment.provider
        if observer.complete and not malformed:
            return
        self.settlement.observed("cut")
        if observer.failed:
            raise AttemptFailed(SERVER_ERROR, failed_answer(provider, self.attempt.status or 200))
        raise AttemptFailed(Failure("cut"), self._cut_short())

    async def _end_stream(self, rest: bytes, outbox: Outbox | None = None) -> None:
        """The upstream has nothing more to say. It is settled before a slow client has been sent everything."""
        observer, context = self.settlement.observer, self._context
        whole = observer.complete
        self.settlement.observed("ok" if whole else "cut")
        self._note_calls()
        context.outcome, context.error_code = ("ok", "") if whole else ("cut", "upstream_error")
        if outbox is not None:
            await outbox.sent()
        if not whole:
            self.attempt.failure = Failure("cut")
        if not whole and not observer.failed:
            raise self._cut_short()
        if rest:  # of a failed one, the client has seen the provider's own error event, or sees it now
            await self._reply.send(rest)
        await self._reply.finish()

    def _cut_short(self) -> UpstreamFailure:
        return UpstreamFailure(
            f"The stream of the provider `{self.attempt.deployment.provider}` ended before its answer was whole.",
            reason="stream_cut",
        )

    def _broken(self, error: TransportError) -> None:
        attempt = self.attempt
        if self._superseded:
            self.interrupt("cancelled")
            raise Superseded
        if self._client_left:
            self.interrupt("cancelled")
            return
        self._settle_broken(error)
        attempt.failure = failure = failure_of_error(error, attempt.target.timeouts)
        told = client_error(attempt.deployment.provider, error)
        if self._reply.started:
            raise told from None
        raise AttemptFailed(failure, told) from None

    def _settle_broken(self, error: TransportError) -> None:
        if self.attempt.settled:
            return
        outcome = outcome_of(error)
        if not error.sent:
            self.settlement.nothing(outcome)
        elif self._is_refused():
            self.settlement.nothing("error")
        else:
            self.settlement.observed(outcome)

    def _is_refused(self) -> bool:
        """Whether the provider's status says that nothing was generated."""
        status = self.attempt.status
        return status is not None and not 200 <= status < 300 and not may_be_billed(status)

    # --- from outside ---

    @property
    def superseded(self) -> bool:
        """Whether another attempt has answered in its place."""
        return self._superseded

    def leave(self) -> None:
        """The client is gone: tell the upstream at once, unless its stream has ended and only late usage may follow."""
        self._client_left = True
        call = self.attempt.call
        if self.settlement.observer.complete:
            asyncio.get_running_loop().call_later(LATE_USAGE_S, call.abort)
        else:
            call.abort()

    def supersede(self) -> None:
        """Another attempt has answered: give this one up."""
        self._superseded = True
        self.attempt.call.abort()

    def interrupt(self, outcome: str) -> None:
        """End the attempt now and settle it as what was seen of it."""
        attempt, context = self.attempt, self._context
        self.interrupted = True
        attempt.call.abort()
        if outcome in _INTERRUPTED and not self._superseded:
            context.outcome = context.error_code = _INTERRUPTED[outcome]
            context.status = context.status if self._reply.started else CLIENT_CLOSED_REQUEST
        if attempt.settled:
            return
        if not attempt.call.sent or self._is_refused():
            self.settlement.nothing(outcome)
        else:
            self.settlement.observed(outcome)

    def measure(self) -> None:
        """Whole answers: all but the upstream's time is ours. Streams: ours is what came before the upstream send."""
        attempt = self.attempt
        until_s = attempt.ended_s or time.monotonic()
        if attempt.first_byte_s and not self._request.stream:
            until_s = attempt.first_byte_s
        self._context.upstream_s += until_s - attempt.sent_s
