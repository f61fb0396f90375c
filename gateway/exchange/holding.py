"""How long a stream is held back: until it has something to show, and where its rule asks for it, until it is whole.

As long as it is, another attempt can still take its place.
"""

from __future__ import annotations

import time
from typing import Final

from gateway.exchange.delivery import Delivery
from gateway.exchange.failures import AttemptFailed, cut_short
from gateway.upstream.refusals import failed_answer
from gateway.upstream.transport import Response
from gateway.upstream.verdict import SERVER_ERROR
from routing.failures import Failure

CONTENTLESS_MAX_BYTES: Final = 65_536
"""A stream that says so much without any content is passed on as it is."""
UNVERIFIED_MAX_BYTES: Final = 8_388_608
"""A stream that is longer is passed on unverified."""
_LOOKED_AT: Final = 64
"""The size of a stream that is held back is looked at once in so many pieces."""


def has_begun(delivery: Delivery, held: list[bytes]) -> bool:
    """Whether there is something to show. Raises AttemptFailed, settled, when the stream begins with an error."""
    observer, attempt = delivery.settlement.observer, delivery.attempt
    if observer.failed:
        attempt.call.abort()
        delivery.settlement.observed("cut")
        raise AttemptFailed(SERVER_ERROR, failed_answer(attempt.deployment.provider, attempt.status or 200))
    if not (observer.begun or sum(map(len, held)) > CONTENTLESS_MAX_BYTES):
        return False
    attempt.first_byte_s = time.monotonic()
    return True


def awaits_verdict(delivery: Delivery, held: list[bytes]) -> bool:
    """Whether a stream that has begun is held back until it is whole and verified."""
    if delivery.verify is None:
        return False
    return len(held) % _LOOKED_AT != 0 or sum(map(len, held)) < UNVERIFIED_MAX_BYTES


async def begins(delivery: Delivery, response: Response, held: list[bytes]) -> bool:
    """Whether what was held may leave now; then its head was sent. Raises AttemptFailed, Superseded."""
    begun = has_begun(delivery, held) and not awaits_verdict(delivery, held)
    if begun:
        await delivery.start_stream(response)
    return begun


def require_whole(delivery: Delivery, *, malformed: bool = False) -> None:
    """An answer has ended before the client saw any of it. Raises AttemptFailed, settled, unless it is whole."""
    observer, provider = delivery.settlement.observer, delivery.attempt.deployment.provider
    if observer.complete and not malformed:
        return
    delivery.settlement.observed("cut")
    if observer.failed:
        raise AttemptFailed(SERVER_ERROR, failed_answer(provider, delivery.attempt.status or 200))
    raise AttemptFailed(Failure("cut"), cut_short(provider))
