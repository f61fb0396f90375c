"""A stream on its way to a client that streams, at the client's pace."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.exchange.delivery import Delivery
from gateway.exchange.events import Events
from gateway.exchange.failures import cut_short
from gateway.exchange.holding import begins, require_whole
from gateway.exchange.outbox import Outbox
from gateway.exchange.verifying import note_calls, verify_stream
from gateway.upstream.transport import ConnectionBroken, Response, TransportError
from gateway.wire.sse import EventSplitter, EventTooLarge
from routing.failures import Failure

LATE_USAGE_S: Final = 2.0
"""How long a finished stream is read on for late usage."""


async def relay_stream(delivery: Delivery, response: Response) -> None:
    """Events leave as they arrive; only the usage event is held to the contract."""
    reply, attempt, observer = delivery.reply, delivery.attempt, delivery.settlement.observer
    events = Events(delivery.context, delivery.request, attempt.target.endpoint, delivery.settlement)
    splitter = EventSplitter()
    held: list[bytes] | None = []
    ending: asyncio.TimerHandle | None = None
    try:
        while chunk := await response.next_chunk():
            out = events.pass_on(splitter.feed(chunk))
            if held is not None:
                held.append(out)
                out = b""
                if await begins(delivery, response, held):
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
        rest = b"".join(held) + rest
        await open_held(delivery, response, rest)
    await end_stream(delivery, rest)


async def open_held(delivery: Delivery, response: Response, held: bytes) -> None:
    """The upstream has ended while all was held: send the head. Raises AttemptFailed unless it is whole and good."""
    require_whole(delivery)
    verify_stream(delivery, response, held)
    await delivery.start_stream(response)


async def end_stream(delivery: Delivery, rest: bytes, outbox: Outbox | None = None) -> None:
    """The upstream has nothing more to say. It is settled before a slow client has been sent everything.

    Raises UpstreamFailure when the answer was not whole.
    """
    observer, context = delivery.settlement.observer, delivery.context
    whole = observer.complete
    delivery.settlement.observed("ok" if whole else "cut")
    note_calls(delivery)
    context.outcome, context.error_code = ("ok", "") if whole else ("cut", "upstream_error")
    if outbox is not None:
        await outbox.sent()
    if not whole:
        delivery.attempt.failure = Failure("cut")
    if not whole and not observer.failed:
        raise cut_short(delivery.attempt.deployment.provider)
    if rest:  # of a failed one, the client has seen the provider's own error event, or sees it now
        await delivery.reply.send(rest)
    await delivery.reply.finish()
