"""What a failed attempt was, for those who decide what comes next: the breaker, retries and fallbacks. Pure."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from gateway.config.snapshot import Timeouts
from gateway.upstream.dialects.protocol import Complaint
from gateway.upstream.headers import Headers
from gateway.upstream.transport import ResponseTooLarge, TimedOut, TransportError, Unreachable
from routing.failures import Failure, FailureKind

SERVER_ERROR = Failure("server_error")

_KINDS: dict[Complaint, FailureKind] = {
    "rate_limited": "rate_limited",
    "context_too_long": "context_too_long",
    "content_filter": "content_filter",
    "account": "credentials",
    "refused": "refused",
    "failed": "server_error",
}


def failure_of_status(complaint: Complaint, headers: Headers, now_s: float) -> Failure:
    """What an error status was that nothing was billed for. `now_s` is Unix time: a `Retry-After` may be a date."""
    return Failure(_KINDS[complaint], retry_after_s(headers, now_s))


def failure_of_error(error: TransportError, configured: Timeouts) -> Failure:
    """What an answer was that did not come, or not whole. A time-out below the `configured` one is the client's."""
    billable = error.sent
    if isinstance(error, TimedOut):
        if error.after_s < getattr(configured, f"{error.phase}_s"):
            return Failure("client_timeout", billable=billable)
        return Failure("stalled" if error.phase == "idle" else "timeout", billable=billable)
    if isinstance(error, Unreachable):
        return Failure("unreachable", billable=billable)
    if isinstance(error, ResponseTooLarge):
        return Failure("malformed", billable=billable)
    return Failure("cut", billable=billable)


def retry_after_s(headers: Headers, now_s: float) -> float | None:
    """How long a provider asks to wait: `retry-after-ms`, else `Retry-After`, seconds or a date (RFC 9110, 10.2.3)."""
    found = dict(headers)
    for name, per_s in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        written = found.get(name)
        if written is None:
            continue
        try:
            wait_s = float(written) / per_s
        except ValueError:
            wait_s = _until(written, now_s)
        if 0 <= wait_s < float("inf"):
            return wait_s
    return None


def _until(written: bytes, now_s: float) -> float:
    """Seconds until an HTTP date; below zero for what is none."""
    try:
        return max(0.0, parsedate_to_datetime(written.decode("latin-1")).timestamp() - now_s)
    except (ValueError, OverflowError):
        return -1.0
