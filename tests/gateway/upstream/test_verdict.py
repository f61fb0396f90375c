"""What a failed attempt was, and how long its provider asks to wait."""

from __future__ import annotations

from typing import get_args

import pytest

from gateway.config.snapshot import Timeouts
from gateway.reply import Headers
from gateway.upstream.dialects.protocol import Complaint
from gateway.upstream.transport import (
    Aborted,
    ConnectionBroken,
    ResponseTooLarge,
    TimedOut,
    TransportError,
    Unreachable,
)
from gateway.upstream.verdict import failure_of_error, failure_of_status, retry_after_s
from routing.failures import Failure

NOW_S = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
CONFIGURED = Timeouts(connect_s=5.0, first_byte_s=60.0, idle_s=30.0, total_s=600.0)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Unreachable("refused", sent=False), Failure("unreachable")),
        (ResponseTooLarge("large", sent=True), Failure("malformed", billable=True)),
        (ConnectionBroken("lost", sent=True), Failure("cut", billable=True)),
        (Aborted("given up", sent=False), Failure("cut")),
        (TimedOut("connect", 5.0, sent=False), Failure("timeout")),
        (TimedOut("first_byte", 60.0, sent=True), Failure("timeout", billable=True)),
        (TimedOut("idle", 30.0, sent=True), Failure("stalled", billable=True)),
        (TimedOut("first_byte", 59.9, sent=True), Failure("client_timeout", billable=True)),
        (TimedOut("idle", 29.9, sent=True), Failure("client_timeout", billable=True)),
    ],
)
def test_an_answer_that_did_not_come(error: TransportError, failure: Failure) -> None:
    """One that was awaited for less long than is configured was given up by its client."""
    assert failure_of_error(error, CONFIGURED) == failure


@pytest.mark.parametrize("complaint", get_args(Complaint))
def test_every_complaint_is_a_failure(complaint: Complaint) -> None:
    assert failure_of_status(complaint, [(b"retry-after", b"3")], NOW_S).retry_after_s == 3.0


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ([], None),
        ([(b"retry-after", b"2")], 2.0),
        ([(b"retry-after", b"0")], 0.0),
        ([(b"retry-after", b"1.5")], 1.5),
        ([(b"retry-after-ms", b"250"), (b"retry-after", b"2")], 0.25),
        ([(b"retry-after-ms", b"soon"), (b"retry-after", b"2")], 2.0),
        ([(b"retry-after", b"-1")], None),
        ([(b"retry-after", b"inf")], None),
        ([(b"retry-after", b"nan")], None),
        ([(b"retry-after", b"tomorrow")], None),
        ([(b"retry-after", b"Fri, 15 Jan 2027 08:00:30 GMT")], 30.0),
        ([(b"retry-after", b"Fri, 15 Jan 2027 07:59:00 GMT")], 0.0),
    ],
)
def test_how_long_a_provider_asks_to_wait(headers: Headers, wait_s: float | None) -> None:
    assert retry_after_s(headers, NOW_S) == wait_s
