"""A stream of our own wish, for a client that does not stream: put together to the whole answer."""

from __future__ import annotations

import time

from gateway.exchange.delivery import Delivery
from gateway.exchange.failures import AttemptFailed
from gateway.exchange.holding import require_whole
from gateway.exchange.metered import reader_of, shortened
from gateway.exchange.sinks import AnswerSink
from gateway.exchange.streamed import LATE_USAGE_S
from gateway.exchange.verifying import verify_assembled
from gateway.upstream.refusals import credentials_refused, names_our_account
from gateway.upstream.transport import Response
from routing.failures import Failure


async def relay_assembled(delivery: Delivery, response: Response) -> None:
    """Read the stream, metered, and send the answer that it amounts to. Raises AttemptFailed, settled."""
    context, settlement = delivery.context, delivery.settlement
    observer, assembler = settlement.observer, delivery.attempt.target.wire.assembler()
    sink = AnswerSink(observer, assembler)
    rest = await reader_of(delivery, response).read(response, sink, LATE_USAGE_S)
    if rest is None and not observer.failed:
        delivery.commit()
        for event in shortened(delivery, include_usage=True):
            assembler.feed(event)
    else:
        if rest:
            await sink.take([rest])
        if observer.failed and names_our_account(sink.failure):
            settlement.observed("cut")
            error = credentials_refused(delivery.attempt.deployment.provider, response.status)
            raise AttemptFailed(Failure("credentials"), error)
        require_whole(delivery, malformed=assembler.malformed)
        verify_assembled(delivery, response, assembler.body())
        delivery.commit()
        settlement.observed("ok")
        context.outcome = "ok"
    context.first_byte_s = time.monotonic()
    await delivery.whole(response, assembler.body(), context.cost)
