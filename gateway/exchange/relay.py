"""One attempt, from its call to its end.

Until there is something to show (a whole answer, or a stream's first content) nothing is sent, so another attempt can
still take this one's place: what fails by then is an `AttemptFailed`. From then on it is this answer or none, and what
fails is the client's error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Final

from gateway.context import RequestContext
from gateway.errors import UpstreamCredentials
from gateway.exchange.assembled import relay_assembled
from gateway.exchange.delivery import Delivery
from gateway.exchange.failures import AttemptFailed, Superseded
from gateway.exchange.head import is_event_stream
from gateway.exchange.metered_stream import relay_metered
from gateway.exchange.other import relay_other
from gateway.exchange.outbox import ClientTooSlow
from gateway.exchange.settlement import Settlement
from gateway.exchange.streamed import LATE_USAGE_S, relay_stream
from gateway.exchange.whole import relay_free, relay_refusal, relay_whole
from gateway.reply import Reply
from gateway.uploads import upload_failure
from gateway.upstream.attempt import client_error
from gateway.upstream.load import Flight
from gateway.upstream.transport import BodyBroken, Response, TransportError
from gateway.upstream.verdict import failure_of_error
from routing.failures import Failure

CLIENT_CLOSED_REQUEST: Final = 499
"""The status recorded (nobody receives it) for a client that left; nginx's convention."""

_INTERRUPTED: Final = {"cancelled": "client_gone", "drained": "drained"}


class Relay:
    """Brings one attempt's answer to the client, and settles the attempt. Not reusable."""

    __slots__ = ("_over", "attempt", "delivery", "flight", "hedge_at_s", "interrupted", "probe", "superseded")

    def __init__(
        self, context: RequestContext, reply: Reply, settlement: Settlement, over: Callable[[Relay], None]
    ) -> None:
        """`over` hears when it has run to its end, whichever that is."""
        self._over = over
        self.attempt = settlement.attempt
        self.delivery = Delivery(context, reply, settlement)
        self.hedge_at_s: float | None = None
        """When its first byte is late, in `time.monotonic()`; None: it is never hedged."""
        self.flight: Flight | None = None
        """How it counts in its deployment's load; None where nobody asks for that."""
        self.probe = False
        """It took a breaker's probe."""
        self.interrupted = False
        """It was ended by the client or by us, which says nothing about the provider."""
        self.superseded = False
        """Another attempt has answered in its place."""

    async def run(self) -> None:
        """Serve the client with the attempt's answer.

        Raises AttemptFailed as long as the client has seen nothing, FareboxError when the answer failed after that,
        Superseded when another attempt has answered.
        """
        attempt = self.attempt
        try:
            response = await attempt.call.response()
            attempt.status = response.status
            await self._way_of(response)(self.delivery, response)
        except ClientTooSlow:
            self.leave()
            self.interrupt("cancelled")
        except TransportError as error:
            self._broken(error)
        except UpstreamCredentials as error:  # told in the stream
            attempt.failure = failure = Failure("credentials")
            if self.delivery.reply.started:
                raise
            raise AttemptFailed(failure, error) from None
        except AttemptFailed as error:
            attempt.failure = error.failure._replace(billable=attempt.billed)
            raise
        finally:
            attempt.ended_s = time.monotonic()
            self._over(self)

    def _way_of(self, response: Response) -> Callable[[Delivery, Response], Coroutine[None, None, None]]:
        """How an answer of this kind gets to the client."""
        delivery = self.delivery
        stream, metered = delivery.request.stream, delivery.settlement.meter is not None
        if not 200 <= response.status < 300:
            return relay_refusal
        if delivery.request.is_free:
            return relay_free
        if delivery.request.extent is not None:
            return relay_other
        if not (stream or metered) or not is_event_stream(response):
            return relay_whole
        if not metered:
            return relay_stream
        return relay_metered if stream else relay_assembled

    def _broken(self, error: TransportError) -> None:
        """The provider's connection ended before its answer. Raises what `run` does, unless nobody waits for it."""
        attempt, delivery = self.attempt, self.delivery
        if self.superseded:
            self.interrupt("cancelled")
            raise Superseded
        if delivery.given_up:
            self.interrupt("cancelled")
            return
        delivery.settlement.broken(error)
        if isinstance(error, BodyBroken):
            self.interrupted = True
            raise upload_failure(delivery.request) from None
        attempt.failure = failure = failure_of_error(error, attempt.target.timeouts)
        told = client_error(attempt.deployment.provider, error)
        if delivery.reply.started:
            raise told from None
        raise AttemptFailed(failure, told) from None

    # --- from outside ---

    def leave(self) -> None:
        """The client is gone: tell the upstream at once, unless its stream has ended and only late usage may follow."""
        self.delivery.given_up = True
        call = self.attempt.call
        if self.delivery.settlement.observer.complete:
            asyncio.get_running_loop().call_later(LATE_USAGE_S, call.abort)
        else:
            call.abort()

    def supersede(self) -> None:
        """Another attempt has answered: give this one up."""
        self.superseded = self.delivery.given_up = True
        self.attempt.call.abort()

    def interrupt(self, outcome: str) -> None:
        """End the attempt now and settle it as what was seen of it."""
        attempt, delivery = self.attempt, self.delivery
        context = delivery.context
        self.interrupted = True
        attempt.call.abort()
        if outcome in _INTERRUPTED and not self.superseded:
            context.outcome = context.error_code = _INTERRUPTED[outcome]
            context.status = context.status if delivery.reply.started else CLIENT_CLOSED_REQUEST
        delivery.settlement.interrupted(outcome)

    def measure(self) -> None:
        """Whole answers: all but the upstream's time is ours. Streams: ours is what came before the upstream send."""
        attempt, delivery = self.attempt, self.delivery
        until_s = attempt.ended_s or time.monotonic()
        if attempt.first_byte_s and not delivery.request.stream:
            until_s = attempt.first_byte_s
        delivery.context.upstream_s += until_s - attempt.sent_s
