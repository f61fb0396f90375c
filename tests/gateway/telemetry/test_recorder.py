from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from gateway.telemetry.events import Event
from gateway.telemetry.recorder import Recorder
from tests.gateway.telemetry.samples import charged, finished, started


class Keep:
    def __init__(self) -> None:
        self.batches: list[list[Event]] = []
        self.arrived = asyncio.Event()

    def receive(self, events: Sequence[Event]) -> None:
        self.batches.append(list(events))
        self.arrived.set()


class Broken:
    def receive(self, events: Sequence[Event]) -> None:
        raise OSError("disk full")


async def test_delivers_a_batch_in_order_by_itself() -> None:
    sink = Keep()
    recorder = Recorder([sink], interval_s=0.001)
    events = [started(), charged(), finished()]
    for event in events:
        recorder.record(event)
    assert sink.batches == []
    await asyncio.wait_for(sink.arrived.wait(), 5)
    assert sink.batches == [events]


async def test_the_next_batch_gets_a_timer_of_its_own() -> None:
    sink = Keep()
    recorder = Recorder([sink], interval_s=0.001)
    recorder.record(started(request_id="a"))
    await asyncio.wait_for(sink.arrived.wait(), 5)
    sink.arrived.clear()
    recorder.record(started(request_id="b"))
    await asyncio.wait_for(sink.arrived.wait(), 5)
    assert sink.batches == [[started(request_id="a")], [started(request_id="b")]]


async def test_flush_delivers_at_once_and_only_once() -> None:
    sink = Keep()
    recorder = Recorder([sink], interval_s=3600)
    recorder.record(started())
    recorder.flush()
    recorder.flush()
    assert sink.batches == [[started()]]


async def test_an_event_recorded_by_a_sink_goes_into_the_next_batch() -> None:
    class Echo:
        def receive(self, events: Sequence[Event]) -> None:
            if events[0] == started():
                recorder.record(finished())

    sink = Keep()
    recorder = Recorder([Echo(), sink], interval_s=3600)
    recorder.record(started())
    recorder.flush()
    assert sink.batches == [[started()]]
    recorder.flush()
    assert sink.batches == [[started()], [finished()]]


async def test_a_failing_sink_is_logged_once_and_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    sink = Keep()
    recorder = Recorder([Broken(), sink], interval_s=3600)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            recorder.record(started())
            recorder.flush()
    assert len(sink.batches) == 3
    assert [record.sink for record in caplog.records] == ["Broken"]  # type: ignore[attr-defined]  # an extra field
