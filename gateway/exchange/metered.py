"""A stream that is counted while it runs: its reservation is extended ahead of it, or it is ended in time.

The provider's stream is read at its own pace. Its events go to a sink: to the client as they come, or into the answer
that is put together for a client that does not stream.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from gateway.admission.permit import Permit
from gateway.context import RequestContext
from gateway.exchange.delivery import Delivery
from gateway.exchange.head import is_readable
from gateway.exchange.settlement import Settlement
from gateway.ledger.meter import END, GO_ON, Meter
from gateway.ledger.operations import Amounts
from gateway.store.protocol import StoreUnavailable
from gateway.upstream.transport import Aborted, ConnectionBroken, Response, TransportError
from gateway.wire.ending import Stream
from gateway.wire.sse import EventSplitter, EventTooLarge
from routing.money import NanoUsd

log = logging.getLogger("farebox.exchange")


class Sink(Protocol):
    """Where the events go. Observes them on the way."""

    async def take(self, events: list[bytes]) -> None:
        """Take the next events; never waits for a client."""
        ...


class MeteredReader:
    """Reads one stream."""

    __slots__ = ("_behind", "_context", "_extension", "_gone", "_meter", "_permit", "_settlement")

    def __init__(self, context: RequestContext, permit: Permit, settlement: Settlement, meter: Meter) -> None:
        self._context = context
        self._permit = permit
        self._settlement = settlement
        self._meter = meter
        self._extension: asyncio.Task[None] | None = None
        self._gone = False
        """The reservation is not ours any more: the stream has to end."""
        self._behind: int | None = None
        """Bytes that had come when the money ended, and are still to be read."""

    async def read(self, response: Response, sink: Sink, late_usage_s: float) -> bytes | None:
        """Read to the end, and give what was left unfinished of it; None when the money ended first.

        Raises TransportError when the provider's stream broke.
        """
        attempt, observer = self._settlement.attempt, self._settlement.observer
        splitter = EventSplitter()
        ending: asyncio.TimerHandle | None = None
        try:
            while chunk := await response.next_chunk():
                if attempt.first_byte_s is None:
                    attempt.first_byte_s = time.monotonic()
                await sink.take(splitter.feed(chunk))
                if not observer.complete and self._is_over() and self._has_caught_up(len(chunk)):
                    attempt.call.abort()
                    return None
                if observer.done and ending is None:
                    ending = asyncio.get_running_loop().call_later(late_usage_s, attempt.call.abort)
        except EventTooLarge as error:
            attempt.call.abort()
            raise ConnectionBroken(str(error), sent=True) from None
        except TransportError as error:
            if not observer.complete:  # broken after its proper end: whole all the same
                if self._gone and isinstance(error, Aborted):
                    return None
                raise
        finally:
            if ending is not None:
                ending.cancel()
        return splitter.rest

    def _is_over(self) -> bool:
        """Whether the stream has to end now. Sees to its extension otherwise."""
        answer = self._meter.count(self._settlement.observer.counted_tokens(self._permit.tokens_per_event))
        if answer is GO_ON or answer == GO_ON:
            return self._gone
        if answer == END:
            return True
        self._extension = asyncio.get_running_loop().create_task(self._extend(answer), name="extension")
        return self._gone

    def _has_caught_up(self, read: int) -> bool:
        """Whether all is counted that had come when the money ended.

        After a stop of the process that may be a lot. It is generated, so it is owed: it is passed on and recorded in
        full, with the provider's own usage if that is in it.
        """
        arrived = self._settlement.attempt.call.arrived()
        self._behind = arrived if self._behind is None else self._behind - read
        return arrived == 0 or self._behind <= 0

    async def _extend(self, money: NanoUsd) -> None:
        """Ask for as much, or for less where there is no room for it."""
        meter = self._meter
        while money != GO_ON:
            try:
                answer = await self._permit.extend(Amounts(money, meter.tokens_for(money)))
            except StoreUnavailable:
                answer = "no_room"  # it may come back while what is reserved lasts
            except Exception:
                log.exception("a reservation could not be extended")
                answer = "no_room"
            if answer == "no_room":
                money = meter.refused()
                continue
            if answer == "extended":
                meter.extended(money)
            else:
                self._gone = True
                self._settlement.attempt.call.abort()
            return


def reader_of(delivery: Delivery, response: Response) -> MeteredReader:
    """The reader for a metered attempt's stream. Raises ConnectionBroken when its events cannot be read."""
    permit, settlement = delivery.settlement.permit, delivery.settlement
    assert permit is not None, "only permits are metered"  # noqa: S101 -- guards a programming error
    assert settlement.meter is not None  # noqa: S101 -- as above
    if not is_readable(response):
        delivery.attempt.call.abort()
        raise ConnectionBroken("its stream is compressed in a way that cannot be read", sent=True)
    return MeteredReader(delivery.context, permit, settlement, settlement.meter)


def shortened(delivery: Delivery, *, include_usage: bool) -> list[bytes]:
    """Settle a stream whose money has ended, and give the events that end it properly."""
    context, deployment = delivery.context, delivery.attempt.deployment
    bill = delivery.settlement.shortened()
    context.outcome, context.error_code = "shortened", ""
    stream = Stream(
        delivery.request.api,
        delivery.request.profile.answers,
        include_usage,
        context.request_id,
        deployment.upstream_model,
        int(context.arrived_at_s),
    )
    wire = delivery.attempt.target.wire
    return wire.ending(stream, delivery.settlement.observer, bill.usage, bill.cost)
