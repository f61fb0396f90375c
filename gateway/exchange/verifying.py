"""Answers that are looked at before the client sees them: by a policy's rule, or because a provider's filter cut them.

One that is turned down is settled and kept: if nothing better comes, the client gets it after all.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import msgspec

from gateway.exchange.delivery import Delivery
from gateway.exchange.failures import AttemptFailed, Unverified
from gateway.upstream.transport import Response
from gateway.wire.answers import WholeAnswer, is_filtered, read_answer
from gateway.wire.sse import EventSplitter
from gateway.wire.verify import unmet
from gateway.wire.wires import Wire
from routing.failures import Failure

_CALLS: Final = re.compile(rb'"tool_calls"\s*:\s*\[\s*\{')
"""In the choices of an answer: inside of texts the quotes are escaped."""


def verify_whole(delivery: Delivery, response: Response, body: bytes, answer: WholeAnswer) -> None:
    """Note whether a whole answer calls tools. Raises AttemptFailed, settled, when it is turned down."""
    context = delivery.context
    choices = answer.choices
    if delivery.attempt.target.native and (context.decided is not None or _has_others(delivery)):
        choices = read_answer(delivery.attempt.target.wire.as_chat(body)).choices
    if context.decided is not None:
        context.decided.called_tools = _calls_tools(choices)
        usage = answer.usage
        check = _failed_check(delivery, body, 0 if usage is None else usage.output_tokens)
        if check:
            _turn_down_whole(delivery, response, body, answer, check)
    if _has_others(delivery) and is_filtered(choices):
        _turn_down_whole(delivery, response, body, answer, "filtered")


def verify_assembled(delivery: Delivery, response: Response, body: bytes) -> None:
    """The same of an answer that was put together from a stream."""
    if delivery.context.decided is None:
        return
    note_calls(delivery)
    check = _failed_check(delivery, body, _observed_tokens(delivery))
    if check:
        delivery.settlement.observed("unverified")
        _turn_down(delivery, check, lambda: _give(delivery, response, body))


def verify_stream(delivery: Delivery, response: Response, events: bytes) -> None:
    """The same of a stream that was held back, as its client would have it."""
    if delivery.verify is None:
        return
    context = delivery.context
    check = _failed_check(delivery, _assembled(delivery.attempt.target.wire, events), _observed_tokens(delivery))
    if not check:
        return
    delivery.settlement.observed("unverified")
    recorded = None if context.recorded_answer is None else context.recorded_answer.copy()
    if context.recorded_answer is not None:
        context.recorded_answer.clear()
    _turn_down(delivery, check, lambda: _give_stream(delivery, response, events, recorded))


def note_calls(delivery: Delivery) -> None:
    """Take note of a stream's tool calls, for the session."""
    if delivery.context.decided is not None:
        delivery.context.decided.called_tools = delivery.settlement.observer.called_tools


# --- what is looked at ---


def _failed_check(delivery: Delivery, body: bytes, output_tokens: int) -> str:
    """The check that a whole answer fails; empty when it will do."""
    if delivery.verify is None:
        return ""
    return unmet(delivery.verify, delivery.request, delivery.attempt.target.wire.as_chat(body), output_tokens)


def _assembled(wire: Wire, stream: bytes) -> bytes:
    """The whole answer that a stream amounts to."""
    splitter, assembler = EventSplitter(), wire.assembler()
    for event in (*splitter.feed(stream), splitter.rest):
        assembler.feed(event)
    return assembler.body()


def _calls_tools(choices: msgspec.Raw) -> bool:
    return _CALLS.search(bytes(choices)) is not None


def _observed_tokens(delivery: Delivery) -> int:
    usage = delivery.settlement.observer.usage
    return 0 if usage is None else usage.output_tokens


def _has_others(delivery: Delivery) -> bool:
    """Whether the route has candidates besides this one's."""
    route = delivery.context.route
    return route is not None and len(route.candidates) > 1


# --- turned down, and given after all ---


def _turn_down_whole(delivery: Delivery, response: Response, body: bytes, answer: WholeAnswer, check: str) -> NoReturn:
    settlement, usage = delivery.settlement, answer.usage
    if usage is None:
        settlement.size("unverified", 0, answer.text_bytes, service_tier=answer.service_tier)
    else:
        cut = settlement.permit is not None and answer.cut
        settlement.settle("unverified", usage, estimated=False, service_tier=answer.service_tier, cut=cut)
    _turn_down(delivery, check, lambda: _give(delivery, response, body))


def _turn_down(delivery: Delivery, check: str, give: Callable[[], Awaitable[None]]) -> NoReturn:
    decided, deployment = delivery.context.decided, delivery.attempt.deployment
    if decided is not None:
        decided.turned_down.append(deployment.model)
    if check == "filtered":  # elsewhere the same model may be allowed to answer
        raise AttemptFailed(Failure("content_filter"), Unverified(give, deployment.id, check))
    raise AttemptFailed(Failure("unverified"), Unverified(give, deployment.model, check))


async def _give(delivery: Delivery, response: Response, body: bytes) -> None:
    """Nothing better came: the client gets what was turned down."""
    _taken(delivery)
    await delivery.whole(response, body, delivery.context.cost)


async def _give_stream(delivery: Delivery, response: Response, events: bytes, recorded: list[bytes] | None) -> None:
    _taken(delivery)
    delivery.context.recorded_answer = recorded
    await delivery.start_stream(response)
    await delivery.reply.send(events)
    await delivery.reply.finish()


def _taken(delivery: Delivery) -> None:
    context = delivery.context
    context.outcome, context.error_code, context.first_byte_s = "ok", "", time.monotonic()
    context.deployment = delivery.attempt.deployment
    if context.decided is not None:
        context.decided.usage = delivery.settlement.usage
