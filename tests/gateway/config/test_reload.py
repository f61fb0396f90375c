from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.loader import load
from gateway.config.reload import SnapshotHolder, concerns, watched_folders
from gateway.config.snapshot import Snapshot
from gateway.pricing.table import PriceTable
from gateway.telemetry.events import ConfigLoaded

GOOD = "agents: {{dev: {{}}, {name}: {{}}}}\n"


class Running:
    """A holder on a real file, with what it told."""

    def __init__(self, path: Path, table: PriceTable) -> None:
        self.path = path
        self.events: list[ConfigLoaded] = []
        self.heard: asyncio.Queue[Snapshot] = asyncio.Queue()
        snapshot = load(path, {}, table=lambda folder: table)
        self.holder = SnapshotHolder(snapshot, path, self.events.append, environ={}, table=lambda folder: table)
        self.holder.subscribe(self.heard.put_nowait)

    async def until_heard(self, change: asyncio.Future[None] | None = None) -> Snapshot:
        return await asyncio.wait_for(self.heard.get(), 10)


@pytest.fixture
async def running(tmp_path: Path, table: PriceTable) -> AsyncIterator[Running]:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD.format(name="one"))
    running = Running(path, table)
    yield running
    await running.holder.close()


async def test_a_good_file_replaces_the_snapshot(running: Running) -> None:
    before = running.holder.current
    running.path.write_text(GOOD.format(name="two"))

    assert await running.holder.reload()

    assert "two" in running.holder.current.agents
    assert "one" in before.agents
    assert running.holder.version == 2
    assert running.heard.get_nowait() is running.holder.current
    assert [(event.ok, event.version, event.reason) for event in running.events] == [(True, 2, "")]


async def test_a_bad_file_keeps_the_snapshot_and_says_why(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    before = running.holder.current
    running.path.write_text("agnts: {}\nsrver: {}\n")

    assert not await running.holder.reload()

    assert running.holder.current is before
    assert running.heard.empty()
    reason = f"{running.path}:1:1: agnts: unknown setting 'agnts'; did you mean 'agents'? (and 1 more)"
    assert running.holder.stale_reason == reason
    assert [(event.ok, event.version, event.reason) for event in running.events] == [(False, 1, reason)]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert len(getattr(record, "problems", [])) == 2

    running.path.write_text(GOOD.format(name="two"))
    assert await running.holder.reload()
    assert running.holder.stale_reason is None
    assert running.holder.version == 2


async def test_a_file_that_is_gone_keeps_the_snapshot(running: Running) -> None:
    running.path.unlink()

    assert not await running.holder.reload()
    assert "cannot be read" in (running.holder.stale_reason or "")


async def test_what_needs_a_restart_is_logged(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    running.path.write_text("server: {port: 1}\nadmin: {listen: {port: 2}}\nstorage: {dir: x}\n")

    await running.holder.reload()

    warned = [getattr(record, "section", None) for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == ["server", "admin.listen", "storage"]


async def test_what_a_shared_store_is_needs_a_restart(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    running.path.write_text("storage: {store_timeout_s: 2}\nruns: {max_open: 5}\n")
    await running.holder.reload()
    running.path.write_text("storage: {store_timeout_s: 2}\nruns: {max_open: 5, ttl_s: 60}\nqueue: {wait_s: 1}\n")
    await running.holder.reload()

    warned = [getattr(record, "section", None) for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == ["storage"]


async def test_warnings_are_logged_once(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    running.path.write_text("agents: {dev: {}}\nlimits: {a: {scope: 'user:*', concurrency: 1}}\n")

    await running.holder.reload()
    await running.holder.reload()

    (warned,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "limits.a.scope: binds only where the agent must send it" in warned


async def test_changed_limits_have_a_higher_version_though_an_older_file_is_put_back(running: Running) -> None:
    first = running.holder.current.limits_version
    running.path.write_text("limits: {a: {scope: global, concurrency: 1}}\n")
    os.utime(running.path, ns=(0, 1_000_000))
    await running.holder.reload()
    changed = running.holder.current.limits_version
    assert changed > first

    running.path.write_text("limits: {a: {scope: global, concurrency: 1}}\nqueue: {wait_s: 1}\n")
    os.utime(running.path, ns=(0, 1_000_000))
    await running.holder.reload()

    assert running.holder.current.limits_version == changed
    assert running.holder.current.queue.wait_s == 1


async def test_newly_left_out_providers_are_logged_once(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    running.path.write_text("providers: {a: {base_url: '${A}', optional: true}}\n")

    await running.holder.reload()
    await running.holder.reload()

    assert [r.getMessage() for r in caplog.records if "left out" in r.getMessage()] == [
        "optional provider a left out: A is not set"
    ]


async def test_a_changed_velocity_has_a_higher_version_too(running: Running) -> None:
    versions = []
    for usd in ("5", "1", "1"):
        running.path.write_text(f"agents: {{dev: {{velocity: {{usd: '{usd}'}}}}}}\n")
        os.utime(running.path, ns=(0, 1_000_000))
        await running.holder.reload()
        versions.append(running.holder.current.limits_version)
    assert versions[0] < versions[1] == versions[2]


async def change_until_heard(running: Running, change: object) -> Snapshot:
    """Make a change again and again until the watcher, which starts at its own time, has seen one."""
    assert callable(change)
    for attempt in range(40):
        change(attempt)
        try:
            return await asyncio.wait_for(running.heard.get(), 0.5)
        except TimeoutError:
            continue
    raise AssertionError("no change was seen")


async def test_a_file_written_in_place_is_seen(running: Running) -> None:
    await running.holder.start()

    snapshot = await change_until_heard(running, lambda n: running.path.write_text(GOOD.format(name=f"a{n}")))

    assert snapshot.version >= 2


async def test_a_file_replaced_by_renaming_is_seen_again_and_again(running: Running, tmp_path: Path) -> None:
    await running.holder.start()

    def replace(n: int) -> None:
        (tmp_path / "config.yaml.new").write_text(GOOD.format(name=f"b{n}"))
        (tmp_path / "config.yaml.new").replace(running.path)

    first = await change_until_heard(running, replace)
    second = await change_until_heard(running, replace)

    assert second.version > first.version


async def test_a_new_policy_file_is_seen(running: Running, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    await running.holder.start()

    snapshot = await change_until_heard(
        running, lambda n: (tmp_path / "policies" / "new.yaml").write_text("name: new\n")
    )

    assert [policy.name for policy in snapshot.policies] == ["new"]


async def test_a_bad_policy_never_replaces_a_good_one(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "policies" / "default.yaml"
    file.parent.mkdir()
    good = "name: default\ntiers: {all: [m]}\nrules: [{name: late, when: hour > 20, use: all}]\n"
    running.path.write_text(
        "providers: {p: {base_url: http://127.0.0.1:9/v1}}\n"
        'models: {m: {provider: p, price: {input: "1", output: "1"}}}\nagents: {dev: {}}\n'
    )
    file.write_text(good)
    assert await running.holder.reload()
    before = running.holder.current

    file.write_text(good.replace("hour > 20", "huor > 20"))

    assert not await running.holder.reload()
    assert running.holder.current is before
    assert [rule.name for rule in before.agent_policies["dev"].rules] == ["late"]
    place = f"{file}:3:28: rules[0].when: at character 1: "
    assert running.holder.stale_reason == f"{place}no variable is called 'huor'; did you mean 'hour'?"
    file.write_text(good.replace("late", "later"))
    assert await running.holder.reload()
    assert [rule.name for rule in running.holder.current.agent_policies["dev"].rules] == ["later"]


async def test_a_kubernetes_volume_exchanged_by_its_link_is_seen(tmp_path: Path, table: PriceTable) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()

    def exchange(n: int) -> None:
        data = volume / f"..{n}"
        data.mkdir(exist_ok=True)
        (data / "config.yaml").write_text(GOOD.format(name=f"c{n}"))
        (volume / "..data_tmp").symlink_to(data.name)
        (volume / "..data_tmp").replace(volume / "..data")

    exchange(1000)
    (volume / "config.yaml").symlink_to("..data/config.yaml")
    running = Running(volume / "config.yaml", table)
    await running.holder.start()
    try:
        first = await change_until_heard(running, exchange)
        second = await change_until_heard(running, lambda n: exchange(100 + n))
        assert first.version < second.version
    finally:
        await running.holder.close()


async def test_closing_twice_is_fine(running: Running) -> None:
    await running.holder.start()
    await running.holder.close()
    await running.holder.close()


def test_which_changes_concern_a_configuration(running: Running, tmp_path: Path) -> None:
    snapshot = running.holder.current

    assert concerns(snapshot, tmp_path / "config.yaml")
    assert concerns(snapshot, tmp_path / ".env")
    assert concerns(snapshot, tmp_path / "new.yaml")
    assert concerns(snapshot, tmp_path / "..data")
    assert not concerns(snapshot, tmp_path / "journal.sqlite3-wal")
    assert not concerns(snapshot, tmp_path / "config.yaml.swp")
    assert watched_folders(snapshot) == [tmp_path]
