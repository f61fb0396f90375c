"""Hands one alert to one place, once: what became of it, and whether to try again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from gateway.alerting.alert import Alert
from gateway.alerting.forms import log_fields, slack_body, webhook_body
from gateway.config.snapshot import AlertSink
from gateway.upstream.transport import Transport, TransportError

log = logging.getLogger("farebox.alerts")

LONGEST_WAIT_S: Final = 300.0
"""A receiver that asks for more patience is asked again all the same."""
_HEAD: Final = b"content-type: application/json\r\nuser-agent: farebox\r\n"
_TRY_AGAIN: Final = frozenset((408, 425, 429))
_LEVELS: Final = {"critical": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}


class Outcome(NamedTuple):
    """What became of an alert that was sent."""

    result: Literal["sent", "again", "refused"]
    """`again`: not now; `refused`: it would be refused again."""
    why: str = ""
    """Never with the URL: whoever knows it can post."""
    after_s: float = 0.0
    """The receiver asks for so much patience."""


async def hand_over(transport: Transport, sink: AlertSink, alert: Alert) -> Outcome:
    """Send an alert once. Raises nothing."""
    if sink.endpoint is None:
        log.log(_LEVELS[alert.severity], "%s. %s", alert.title, alert.text, extra=log_fields(alert))
        return Outcome("sent")
    body = _BODIES[sink.type](alert)
    try:
        call = transport.start(sink.endpoint, b"POST", sink.path, _HEAD, body)
    except ValueError as error:
        return Outcome("refused", str(error))
    try:
        response = await call.response()
        status, headers = response.status, response.headers
        await response.read()  # the connection can be used again then
    except TransportError as error:
        return Outcome("again", f"{type(error).__name__}: {error}")
    finally:
        call.abort()
    if 200 <= status < 300:
        return Outcome("sent")
    if status in _TRY_AGAIN or status >= 500:
        return Outcome("again", f"status {status}", _retry_after_s(headers))
    return Outcome("refused", f"status {status}")


def _retry_after_s(headers: list[tuple[bytes, bytes]]) -> float:
    for name, value in headers:
        if name == b"retry-after" and value.isdigit():
            return min(LONGEST_WAIT_S, float(value))
    return 0.0


_BODIES: Final[dict[str, Callable[[Alert], bytes]]] = {"slack": slack_body, "webhook": webhook_body}
