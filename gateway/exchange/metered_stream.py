"""A metered stream on its way to a client that streams: at the provider's pace, and ended in time when the money is."""

from __future__ import annotations

from functools import partial

from gateway.exchange.delivery import Delivery
from gateway.exchange.events import Events
from gateway.exchange.holding import begins
from gateway.exchange.metered import reader_of, shortened
from gateway.exchange.outbox import Outbox
from gateway.exchange.sinks import ClientSink
from gateway.exchange.streamed import LATE_USAGE_S, end_stream, open_held
from gateway.upstream.transport import Response, TransportError


async def relay_metered(delivery: Delivery, response: Response) -> None:
    """As `relay_stream`, whose client however slows the provider down. Raises ClientTooSlow."""
    settlement = delivery.settlement
    events = Events(delivery.context, delivery.request, delivery.attempt.target.endpoint, settlement)
    outbox, reader = Outbox(delivery.reply), reader_of(delivery, response)
    sink = ClientSink(events, outbox, partial(begins, delivery, response))
    try:
        rest = await reader.read(response, sink, LATE_USAGE_S)
        if rest is None and not settlement.observer.failed:
            await _end_shortened(delivery, response, sink, outbox)
            return
        if rest:
            await sink.take([rest])
        if not sink.begun:
            await open_held(delivery, response, sink.held)
            await sink.flush()
        await end_stream(delivery, b"", outbox)
    except TransportError as error:
        if not delivery.given_up and delivery.reply.started:
            settlement.broken(error)
            await outbox.sent()  # what came before it broke
        raise
    finally:
        outbox.drop()


async def _end_shortened(delivery: Delivery, response: Response, sink: ClientSink, outbox: Outbox) -> None:
    """The money ended first."""
    context, reply = delivery.context, delivery.reply
    if not sink.begun:
        await delivery.start_stream(response)
        await sink.flush()
    ending = shortened(delivery, include_usage=delivery.request.include_usage)
    if context.recorded_answer is not None:
        context.recorded_answer += ending
    await outbox.sent()
    await reply.send(b"".join(ending))
    await reply.finish()
