"""What a client is told that may try again, and when."""

from __future__ import annotations

import pytest

from gateway.errors import ServiceUnavailable, UpstreamTimeout
from gateway.exchange.failures import asking_to_wait, cut_short, nothing_may_be_called
from gateway.reply import Headers
from routing.attempts import RETRY_AFTER_MAX_S, GiveUp
from routing.catalog import Deployment, Model
from routing.router import route

NOW_S = 1_800_000_000.0
ROUTE = route(Model("gpt", (Deployment("one/gpt", "one", "gpt", None),)))
KIND = (b"content-type", b"application/json")


@pytest.mark.parametrize(
    ("told", "wait_s", "expected"),
    [
        ([], 0.2, b"1"),
        ([], 2.1, b"3"),
        ([(b"retry-after", b"60")], 2.0, b"2"),
        ([(b"retry-after-ms", b"60000"), (b"retry-after", b"60")], 2.0, b"2"),
    ],
)
def test_a_candidate_that_may_be_called_sooner_is_told(told: Headers, wait_s: float, expected: bytes) -> None:
    assert asking_to_wait([KIND, *told], wait_s, NOW_S) == [KIND, (b"retry-after", expected)]


@pytest.mark.parametrize("told", [b"1", b"2"])
def test_a_provider_that_asks_for_less_is_believed(told: bytes) -> None:
    assert asking_to_wait([(b"retry-after", told), KIND], 2.0, NOW_S) == [(b"retry-after", told), KIND]


@pytest.mark.parametrize(("reason", "words"), [("parked", "asked for a pause"), ("open", "failed too often")])
@pytest.mark.parametrize(("retry_after_s", "told_s"), [(0.2, 1), (2.1, 3), (None, RETRY_AFTER_MAX_S)])
def test_nobody_may_be_called(reason: str, words: str, retry_after_s: float | None, told_s: float) -> None:
    error = nothing_may_be_called(GiveUp(reason, retry_after_s), ROUTE)  # type: ignore[arg-type]  # one of them
    assert isinstance(error, ServiceUnavailable)
    assert words in str(error)
    assert "`gpt`" in str(error)
    assert error.retry_after_s == told_s


def test_the_clients_own_deadline_is_over() -> None:
    error = nothing_may_be_called(GiveUp("deadline"), ROUTE)
    assert isinstance(error, UpstreamTimeout)
    assert "x-farebox-timeout-s" in str(error)


def test_a_stream_that_was_cut_names_its_provider() -> None:
    assert "`one`" in str(cut_short("one"))
