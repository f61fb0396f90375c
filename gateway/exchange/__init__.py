"""One client request with all its upstream attempts: starts them, relays their answer, settles each exactly once.

    begin attempt -> wait for the head -> refusal | whole answer | stream -> settle -> answered

`exchange.py` drives it, `events.py` looks at a stream's events on their way through, `settlement.py` is the one moment
at which an attempt becomes a charge.
"""

from gateway.exchange.exchange import CLIENT_CLOSED_REQUEST, FIRST_ATTEMPT, Exchange
from gateway.exchange.head import labels_of

__all__ = ["CLIENT_CLOSED_REQUEST", "FIRST_ATTEMPT", "Exchange", "labels_of"]
