"""One client request with all its upstream attempts: starts them, relays their answer, settles each exactly once.

    next step -> admit -> depart -> relay (refusal | whole answer | stream) -> settle -> answered, or the next step

`exchange.py` drives it and asks `routing.attempts` what comes next; `departure.py` begins an attempt, `relay.py` sees
it from its call to its end, `hedging.py` lets two of them race. Each kind of answer has its own way to the client, with
what `delivery.py` has: `whole.py` (error statuses too), `streamed.py`, `metered_stream.py`, `assembled.py`.
`holding.py` says how long a stream is held back, `verifying.py` which answers are turned down, `events.py` looks at a
stream's events on their way through. `settlement.py` is the one moment at which an attempt becomes a charge.
"""

from gateway.exchange.exchange import Exchange, Upstreams
from gateway.exchange.head import labels_of
from gateway.exchange.relay import CLIENT_CLOSED_REQUEST

__all__ = ["CLIENT_CLOSED_REQUEST", "Exchange", "Upstreams", "labels_of"]
