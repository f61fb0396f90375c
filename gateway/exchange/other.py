"""Answers of the APIs beside chat: whole ones, events, and bytes (speech, mostly), which are passed on as they come."""

from __future__ import annotations

import time

from gateway.errors import UpstreamFailure
from gateway.exchange.delivery import Delivery
from gateway.exchange.failures import AttemptFailed, cut_short
from gateway.upstream.attempt import NOTHING
from gateway.upstream.refusals import failed_answer
from gateway.upstream.transport import ConnectionBroken, Response
from gateway.upstream.verdict import SERVER_ERROR
from gateway.wire.answers import MalformedAnswer, WholeAnswer
from gateway.wire.other_answers import OtherObserver
from gateway.wire.sse import EventSplitter, EventTooLarge
from routing.failures import Failure

_EVENTS = b"text/event-stream"
_READ = (b"application/json", b"text/")


async def relay_other(delivery: Delivery, response: Response) -> None:
    """The answer, in whichever form it came. Raises AttemptFailed, settled, for one that is none."""
    kind = next((value.lower() for name, value in response.headers if name == b"content-type"), b"application/json")
    if kind.startswith(_EVENTS) or not kind.startswith(_READ):
        await _relay_pieces(delivery, response, events=kind.startswith(_EVENTS))
    else:
        await _relay_whole(delivery, response, is_json=b"json" in kind)


async def _relay_whole(delivery: Delivery, response: Response, *, is_json: bool) -> None:
    attempt, context, settlement = delivery.attempt, delivery.context, delivery.settlement
    body = await response.read()
    attempt.first_byte_s = time.monotonic()
    answer = WholeAnswer(None, None, len(body))
    try:
        if is_json:
            answer = attempt.target.wire.read_answer(body)
    except MalformedAnswer:
        settlement.size("malformed", 1, len(body))
        error = UpstreamFailure(
            f"The provider `{attempt.deployment.provider}` sent an answer that is none: no JSON.",
            upstream_status=response.status,
            reason="malformed",
        )
        raise AttemptFailed(Failure("malformed"), error) from None
    if answer.failed:
        settlement.settle("error", NOTHING, estimated=False)
        raise AttemptFailed(SERVER_ERROR, failed_answer(attempt.deployment.provider, response.status))
    delivery.commit()
    context.first_byte_s = attempt.first_byte_s
    settlement.told("ok", answer.usage, answer.services)
    context.outcome = "ok"
    await delivery.whole(response, body, context.cost)


async def _relay_pieces(delivery: Delivery, response: Response, *, events: bool) -> None:
    """Pass on what arrives, at the client's pace. Its events are looked at on the way."""
    attempt, context, reply = delivery.attempt, delivery.context, delivery.reply
    observer = delivery.settlement.observer
    assert isinstance(observer, OtherObserver), "the wire of an API beside chat"  # noqa: S101 -- guards a programming error
    splitter = EventSplitter(attempt.target.endpoint.max_response_bytes)
    chunk = await response.next_chunk()
    attempt.first_byte_s = time.monotonic()
    await delivery.start_stream(response)
    while chunk:
        if events:
            _observe(observer, splitter, chunk)
        await reply.send(chunk)
        chunk = await response.next_chunk()
    if events and splitter.rest:
        observer.observe(splitter.rest)
    observer.ended = True
    delivery.settlement.observed("ok" if observer.complete else "cut")
    if not observer.complete:
        context.outcome, context.error_code = "cut", "upstream_error"
        attempt.failure = Failure("cut")
        if not observer.failed:
            raise cut_short(attempt.deployment.provider)
    else:
        context.outcome, context.error_code = "ok", ""
    await reply.finish()


def _observe(observer: OtherObserver, splitter: EventSplitter, chunk: bytes) -> None:
    try:
        for event in splitter.feed(chunk):
            observer.observe(event)
    except EventTooLarge as error:
        raise ConnectionBroken(str(error), sent=True) from None
