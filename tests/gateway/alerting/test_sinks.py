"""One alert, one try, to a real server on loopback."""

from __future__ import annotations

import logging

import pytest

from gateway.alerting.sinks import LONGEST_WAIT_S, Outcome, hand_over
from gateway.config.snapshot import AlertSink, Endpoint
from gateway.upstream.pool import Pool
from tests.gateway.alerting.receiver import receiving
from tests.gateway.alerting.samples import alert


def sink(port: int, kind: str = "webhook", **headers: str) -> AlertSink:
    endpoint = Endpoint("alerts.sinks.ops", f"http://127.0.0.1:{port}", tuple(headers.items()))
    return AlertSink("ops", kind, None, endpoint, b"/hook/s3cret-path?token=s3cret")  # type: ignore[arg-type]


async def test_it_is_posted_with_its_headers() -> None:
    pool = Pool()
    async with receiving() as receiver:
        outcome = await hand_over(pool, sink(receiver.port, authorization="Bearer t0ken"), alert())
        assert outcome == Outcome("sent")
        (posted,) = receiver.posted
        await pool.close()
    assert posted.path == "/hook/s3cret-path?token=s3cret"
    assert posted.headers["authorization"] == "bearer t0ken"
    assert posted.headers["content-type"] == "application/json"
    assert posted.body["run"] == "researcher/r1"


async def test_slack_gets_slacks_form() -> None:
    pool = Pool()
    async with receiving() as receiver:
        await hand_over(pool, sink(receiver.port, "slack"), alert())
        (posted,) = receiver.posted
        await pool.close()
    assert set(posted.body) == {"text", "attachments"}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (204, Outcome("sent")),
        (302, Outcome("refused", "status 302")),
        (404, Outcome("refused", "status 404")),
        (408, Outcome("again", "status 408", 7.0)),
        (429, Outcome("again", "status 429", 7.0)),
        (500, Outcome("again", "status 500", 7.0)),
    ],
)
async def test_what_its_status_says(status: int, outcome: Outcome) -> None:
    pool = Pool()
    async with receiving([status], "retry-after: 7\r\n") as receiver:
        assert await hand_over(pool, sink(receiver.port), alert()) == outcome
        await pool.close()


async def test_nobody_has_to_wait_for_a_receiver_that_asks_for_a_day() -> None:
    pool = Pool()
    async with receiving([503], "retry-after: 86400\r\n") as receiver:
        assert (await hand_over(pool, sink(receiver.port), alert())).after_s == LONGEST_WAIT_S
        await pool.close()


async def test_a_receiver_that_is_not_there_is_tried_again_and_its_url_stays_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    pool = Pool()
    async with receiving() as receiver:
        port = receiver.port
    outcome = await hand_over(pool, sink(port), alert())
    assert outcome.result == "again"
    assert outcome.why.startswith("Unreachable")
    assert "s3cret" not in outcome.why + caplog.text
    await pool.close()


async def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pool = Pool()
    assert await hand_over(pool, AlertSink("log", "log"), alert(severity="critical")) == Outcome("sent")
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "farebox.alerts")
    assert vars(record)["run"] == "researcher/r1"
    await pool.close()
