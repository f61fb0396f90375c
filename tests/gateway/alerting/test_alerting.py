"""From events to a real server: told once, to those that want it, also by several gateways on one journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.alerting.alerting import Alerting
from gateway.alerting.delivery import Chance
from gateway.config import load
from gateway.config.snapshot import AlertSettings, AlertSink, Endpoint, Snapshot, StorageSettings
from gateway.journal.alerts import AlertLog
from gateway.journal.database import Database, JournalError
from gateway.telemetry.events import CredentialsRefused, Event, LoopFound
from gateway.upstream.pool import Pool
from tests.gateway.alerting.receiver import Receiver, receiving

AT_S = 1_796_000_000.0


def loop(run: str = "r1", after_s: float = 0.0) -> LoopFound:
    return LoopFound(AT_S + after_s, "researcher", f"researcher/{run}", "repeated_call", 5, "warn")


def refused(refused: bool, after_s: float) -> CredentialsRefused:
    return CredentialsRefused(AT_S + after_s, "openai", refused)


def sink(receiver: Receiver, name: str = "ops", *kinds: str) -> AlertSink:
    endpoint = Endpoint(f"alerts.sinks.{name}", f"http://127.0.0.1:{receiver.port}", ())
    return AlertSink(name, "webhook", frozenset(kinds) or None, endpoint, f"/{name}".encode())


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    file = tmp_path / "config.yaml"
    file.write_text("orgs: {acme: {}}\nteams: {search: {org: acme}}\nagents: {researcher: {team: search}}\n")
    return load(file, {})


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[AlertLog]:
    database = await Database.open(StorageSettings(dir=tmp_path))
    yield AlertLog(database)
    await database.close()


class Gateway(NamedTuple):
    """One gateway's alerting, and the HTTP client that it uses."""

    pool: Pool
    alerting: Alerting

    def hears(self, *events: Event) -> None:
        self.alerting.receive(events)

    def counted(self) -> dict[tuple[str, ...], float]:
        rows = dict(self.alerting.copy())
        return dict(rows["alerts_total"])  # type: ignore[arg-type]

    async def counts(self, *key: str, times: int = 1) -> None:
        """Return when something was counted."""
        async with asyncio.timeout(20):
            while self.counted().get(key, 0) < times:
                await asyncio.sleep(0)

    async def close(self) -> None:
        await self.alerting.close()
        await self.pool.close()


def gateway(snapshot: Snapshot, told: AlertLog, settings: AlertSettings) -> Gateway:
    async def sleep(_wait_s: float) -> None:
        pass

    pool = Pool()
    made = Gateway(pool, Alerting(pool, told, Chance(sleep, lambda: 1.0)))
    made.alerting.use(replace(snapshot, alerts=settings))
    return made


async def test_a_receiver_that_fails_twice_gets_it_at_last(snapshot: Snapshot, told: AlertLog) -> None:
    async with receiving([500, 503]) as receiver:
        links = (("run", "https://g.example/?run={run}"),)
        one = gateway(snapshot, told, AlertSettings((sink(receiver),), links=links))
        one.hears(loop(), loop(after_s=1), loop(after_s=2))
        posted = await receiver.wait_for(3)
        await one.counts("ops", "loop", "sent")
        assert one.counted() == {("ops", "loop", "sent"): 1, ("ops", "loop", "repeated"): 2}
        await one.close()
    bodies = [each.body for each in posted]
    assert bodies[0] == bodies[1] == bodies[2]
    body = bodies[0]
    assert (body["org"], body["team"], body["agent"], body["run"]) == ("acme", "search", "researcher", "researcher/r1")
    assert body["links"] == {"run": "https://g.example/?run=researcher%2Fr1"}


async def test_each_sink_gets_the_kinds_it_asked_for(snapshot: Snapshot, told: AlertLog) -> None:
    async with receiving() as receiver:
        settings = AlertSettings((sink(receiver, "loops", "loop"), sink(receiver, "all")))
        one = gateway(snapshot, told, settings)
        one.hears(loop(), refused(True, 0.0))
        await receiver.wait_for(3)
        await one.close()
    assert sorted((each.path, each.body["kind"]) for each in receiver.posted) == [
        ("/all", "credentials"),
        ("/all", "loop"),
        ("/loops", "loop"),
    ]


async def test_of_several_gateways_one_tells_it(snapshot: Snapshot, told: AlertLog) -> None:
    async with receiving() as receiver:
        settings = AlertSettings((sink(receiver),))
        first, second = gateway(snapshot, told, settings), gateway(snapshot, told, settings)
        first.hears(refused(True, 0.0))
        await first.counts("ops", "credentials", "sent")
        second.hears(refused(True, 1.0))
        await second.counts("ops", "credentials", "repeated")
        second.hears(refused(False, 2.0))  # it told nothing, so it has nothing to take back
        first.hears(refused(False, 3.0))
        await receiver.wait_for(2)
        second.hears(refused(True, 4.0))
        await second.counts("ops", "credentials", "sent")
        await first.close()
        await second.close()
    assert [each.body["status"] for each in receiver.posted] == ["firing", "resolved", "firing"]


@pytest.mark.parametrize("began_s", [0.0, 399.0])
async def test_at_the_edge_of_the_repeat_it_is_told_once(snapshot: Snapshot, told: AlertLog, began_s: float) -> None:
    async with receiving() as receiver:
        settings = AlertSettings((sink(receiver),), repeat_s=3_600.0)
        first, second = gateway(snapshot, told, settings), gateway(snapshot, told, settings)
        first.hears(loop(after_s=began_s))
        await first.counts("ops", "loop", "sent")
        second.hears(loop(after_s=began_s + 2))  # another hour of the clock, perhaps
        await second.counts("ops", "loop", "repeated")
        first.hears(loop(after_s=began_s + 3_600))  # still so: told again
        await receiver.wait_for(2)
        second.hears(loop(after_s=began_s + 3_602))
        await second.counts("ops", "loop", "repeated", times=2)
        await first.close()
        await second.close()
    assert second.counted() == {("ops", "loop", "repeated"): 2}
    assert len(receiver.posted) == 2


async def test_a_reload_puts_other_sinks_in_force(snapshot: Snapshot, told: AlertLog) -> None:
    async with receiving() as receiver:
        one = gateway(snapshot, told, AlertSettings((sink(receiver, "old"),)))
        one.alerting.use(replace(snapshot, alerts=AlertSettings((sink(receiver, "new"),))))
        one.hears(loop())
        await receiver.wait_for(1)
        one.alerting.use(replace(snapshot, alerts=AlertSettings()))
        one.hears(loop("r2"))
        await one.close()
    assert [each.path for each in receiver.posted] == ["/new"]


class Broken:
    """A journal that cannot be asked."""

    async def claim(self, key: str, at_s: float, repeat_s: float) -> bool:
        raise JournalError("away")

    async def release(self, key: str) -> None:
        raise JournalError("away")


class Silent:
    """A journal that never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def claim(self, key: str, at_s: float, repeat_s: float) -> bool:
        self.asked.set()
        await asyncio.Event().wait()
        return True

    async def release(self, key: str) -> None:
        await asyncio.Event().wait()


async def test_without_the_journal_it_is_rather_told_twice(snapshot: Snapshot) -> None:
    async with receiving() as receiver:
        one = gateway(snapshot, Broken(), AlertSettings((sink(receiver),)))  # type: ignore[arg-type]
        one.hears(loop())
        await receiver.wait_for(1)
        await one.close()


async def test_what_waits_is_told_at_the_end(
    snapshot: Snapshot, told: AlertLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.alerting.alerting.LAST_WORDS_S", 20.0)
    monkeypatch.setattr("gateway.alerting.delivery.CLOSE_S", 20.0)
    async with receiving() as receiver:
        one = gateway(snapshot, told, AlertSettings((sink(receiver),)))
        one.hears(loop())
        await one.close()
        assert len(receiver.posted) == 1


async def test_what_could_not_be_told_at_the_end_is_counted_and_logged(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.alerting.alerting.LAST_WORDS_S", 0.0)
    async with receiving() as receiver:
        silent = Silent()
        one = gateway(snapshot, silent, AlertSettings((sink(receiver), sink(receiver, "loops", "loop"))))  # type: ignore[arg-type]
        one.hears(loop(), refused(True, 0.0))
        await silent.asked.wait()
        await one.close()
        assert not receiver.posted
    assert one.counted() == {
        ("ops", "loop", "dropped"): 1,
        ("loops", "loop", "dropped"): 1,
        ("ops", "credentials", "dropped"): 1,
    }
    assert [record.getMessage() for record in caplog.records if "not told" in record.getMessage()] == [
        "an alert was not told before the end: Loop in run researcher/r1: repeated call",
        "an alert was not told before the end: openai refuses our credentials or account",
    ]
