from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.journal.database import JournalError
from gateway.journal.writer import Journal
from gateway.ledger.budgets import NO_LIMITS
from gateway.ledger.operations import Amounts, Granted, Opening, Refused, Run, Unit
from gateway.ledger.windows import Window
from gateway.store import force as force_module
from gateway.store import log as log_module
from gateway.store import sync as sync_module
from gateway.store.lock import StorageLocked
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store, StoreUnavailable
from gateway.store.replay import replay
from gateway.telemetry.events import Adjusted
from routing.money import NanoUsd
from tests.gateway.store.memory_world import BUDGETS, World
from tests.gateway.store.samples import NOON_S, charge
from tests.gateway.store.test_log import Disk

USERS = BUDGETS[2]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.start()
    yield world
    await world.stop()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def suspends(coroutine: Any) -> bool:
    """Whether a coroutine waits for anything."""
    try:
        coroutine.send(None)
    except StopIteration:
        return False
    coroutine.close()
    return True


async def turn() -> None:
    """Let everything that is due run."""
    for _ in range(3):
        await asyncio.sleep(0)


# Attempts.


async def test_it_is_a_store(world: World) -> None:
    store: Store = world.store
    assert store.now_s() == NOON_S


async def test_an_attempt_is_reserved_then_posted(world: World) -> None:
    assert isinstance(await world.admit("req_1"), Granted)
    assert await world.counter("users", "bob") == (0, 1_000)
    assert set(replay(world.directory).pending) == {"req_1.1"}
    world.settle("req_1", 250)
    for budget, value in (("all", ""), ("team", "search"), ("users", "bob"), ("lately", "researcher")):
        assert await world.counter(budget, value) == (250, 0)
    assert await world.differences() == []


async def test_what_does_not_fit_is_refused_and_not_written(world: World) -> None:
    answer = await world.admit("req_1", 3_001)
    assert isinstance(answer, Refused)
    assert [denial.scope for denial in answer.denials] == ["user:bob"]
    assert not replay(world.directory).pending


async def test_nothing_on_the_path_of_a_request_waits(world: World) -> None:
    ticket = world.ticket("req_1")
    assert not suspends(world.store.admit(ticket))
    assert not suspends(world.store.extend("req_1.1", Amounts(1, 1)))


async def test_an_admission_that_is_repeated_is_written_once(world: World) -> None:
    first = await world.admit("req_1")
    size = world.store._log._size
    assert await world.admit("req_1") == first
    assert world.store._log._size == size


async def test_a_metered_stream_extends_what_is_charged_if_it_is_lost(world: World) -> None:
    ticket = world.ticket("req_1")
    bid = ticket.bids[0]
    metered = bid._replace(
        claims=tuple(claim._replace(calibrated=True) for claim in bid.claims), calibrated=Amounts(100, 4)
    )
    await world.store.admit(ticket._replace(bids=(metered,)))
    assert await world.store.extend("req_1.1", Amounts(50, 2)) == "extended"
    assert await world.counter("users", "bob") == (0, 150)
    pending = replay(world.directory).pending["req_1.1"]
    assert (pending.money, pending.tokens) == (150, 6)
    assert await world.store.extend("req_1.1", Amounts(2_851, 0)) == "no_room"
    world.settle("req_1")
    assert await world.store.extend("req_1.1", Amounts(1, 0)) == "gone"


async def test_settlements_are_written_a_little_later(world: World) -> None:
    await world.admit("req_1")
    await world.admit("req_2")
    world.settle("req_1")
    world.store.release("req_2.1", charge("req_2", 0)._replace(resolution="released"))
    timer = world.store._keeper._timer
    assert timer is not None
    assert len(replay(world.directory).pending) == 2
    timer._run()  # type: ignore[attr-defined]  # as the loop does when it is due
    found = replay(world.directory)
    assert not found.pending
    assert set(found.charges) == {"req_1.1", "req_2.1"}
    timer.cancel()


async def test_an_overrun_is_written_at_once(world: World) -> None:
    await world.admit("req_1", 100)
    world.settle("req_1", 101)
    assert replay(world.directory).charges["req_1.1"].cost_nano_usd == 101


async def test_a_settlement_that_is_repeated_changes_nothing(world: World) -> None:
    await world.admit("req_1")
    posted = world.settle("req_1", 250)
    world.store.settle("req_1.1", Amounts(400, 1), posted)
    world.store.release("req_1.1")
    world.store.release("req_7.1")
    assert await world.counter("users", "bob") == (250, 0)


async def test_room_is_told_as_it_comes_back(world: World) -> None:
    told: list[str] = []
    world.store.on_room(lambda: told.append("one"))
    world.store.on_room(lambda: told.append("two"))
    await world.admit("req_1")
    await world.admit("req_2")
    assert told == []
    world.settle("req_1")
    assert told == ["one", "two"]
    world.store.release("req_2.1")
    assert told == ["one", "two"] * 2


# The disk.


async def test_a_full_disk_admits_nothing_and_heals_by_itself(world: World, disk: Disk) -> None:
    disk.free = 20
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="No space left"):
            await world.admit("req_1")
    assert await world.counter("users", "bob") == (0, 0)
    disk.free = None
    assert isinstance(await world.admit("req_1"), Granted)
    assert await world.counter("users", "bob") == (0, 1_000)
    assert set(replay(world.directory).pending) == {"req_1.1"}


async def test_a_refused_write_gives_rates_back(world: World, disk: Disk) -> None:
    from gateway.ledger.operations import Rate

    rate = Rate("g|few|acme|requests", Unit.REQUESTS, 1, 3_600.0, 1, "org:acme")
    ticket = world.ticket("req_1")
    ticket = ticket._replace(bids=(ticket.bids[0]._replace(rates=(rate,)),))
    disk.free = 0
    with pytest.raises(StoreUnavailable):
        await world.store.admit(ticket)
    disk.free = None
    assert isinstance(await world.store.admit(ticket), Granted)


async def test_an_extension_that_cannot_be_written_is_none(world: World, disk: Disk) -> None:
    ticket = world.ticket("req_1")
    bid = ticket.bids[0]
    metered = bid._replace(claims=tuple(claim._replace(calibrated=True) for claim in bid.claims))
    await world.store.admit(ticket._replace(bids=(metered,)))
    disk.free = 3
    with pytest.raises(StoreUnavailable):
        await world.store.extend("req_1.1", Amounts(50, 2))
    assert await world.counter("users", "bob") == (0, 1_000)


async def test_settlements_wait_for_a_full_disk(world: World, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    await world.admit("req_1", 100)
    disk.free = 3
    world.settle("req_1", 101)  # would be written at once
    assert await world.counter("users", "bob") == (101, 0)
    with pytest.raises(log_module.LogUnwritable):
        await world.store._tidy()
    disk.free = None
    await world.store._tidy()
    assert "can be written again" in caplog.text
    assert not replay(world.directory).pending
    assert world.journal.pending == 0  # else the file with the charge would still be there


async def test_a_run_that_cannot_be_written_is_not_opened(world: World, disk: Disk) -> None:
    disk.free = 3
    with pytest.raises(StoreUnavailable):
        await world.store.open_run(opening("root"))
    with pytest.raises(StoreUnavailable):
        await world.store.open_run(carving(world, "root", 500))
    assert await world.counter("all", "") == (0, 0)
    disk.free = None
    assert await world.store.run("researcher/root") is None
    assert isinstance(await world.store.open_run(carving(world, "root", 500)), Run)
    assert await world.counter("all", "") == (0, 500)


async def test_old_files_go_when_the_journal_has_their_charges(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "ROTATE_AT_BYTES", 3_000)
    world.store._log.rotate()
    await world.store._tidy()
    for number in range(12):
        await world.admit(f"req_{number}", 10)
        world.settle(f"req_{number}", 10)
    await world.admit("req_99", 10)
    assert world.store._log.full

    async def fail() -> None:
        raise JournalError("the disk is gone")

    flush, world.store._keeper._flush = world.store._keeper._flush, fail
    with pytest.raises(JournalError):
        await world.store._tidy()
    assert len(replay(world.directory).charges) == 12
    world.store._keeper._flush = flush
    await world.store._tidy()
    assert world.journal.pending == 0
    found = replay(world.directory)
    assert not found.charges
    assert set(found.pending) == {"req_99.1"}


# durability: power


@pytest.fixture
async def synced(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    world.snapshot = replace(world.snapshot, storage=replace(world.snapshot.storage, durability="power"))
    await world.start()
    yield world
    await world.stop()


async def test_under_power_an_admission_waits_for_the_disk(synced: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    fdatasync = os.fdatasync
    monkeypatch.setattr(sync_module.os, "fdatasync", lambda descriptor: (calls.append(1), fdatasync(descriptor)))
    answers = await asyncio.gather(*(synced.admit(f"req_{number}", 10) for number in range(20)))
    assert all(isinstance(answer, Granted) for answer in answers)
    assert 1 <= len(calls) <= 3  # one for all who wait


async def test_under_power_a_failed_sync_admits_nothing(synced: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    fdatasync = os.fdatasync
    monkeypatch.setattr(sync_module.os, "fdatasync", fail)
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        await synced.admit("req_1")
    assert await synced.counter("all", "") == (0, 0)
    monkeypatch.setattr(sync_module.os, "fdatasync", fdatasync)
    assert isinstance(await synced.admit("req_2"), Granted)
    assert set(replay(synced.directory).pending) == {"req_2.1"}
    assert len(synced.store._log.retired) >= 1  # nobody knows what the old file is worth


async def test_under_power_a_client_that_leaves_holds_nothing(synced: World) -> None:
    waiting = asyncio.create_task(synced.admit("req_1"))
    await turn()
    assert await synced.counter("all", "") == (0, 1_000)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await synced.counter("all", "") == (0, 0)
    synced.store._keeper.write_now()
    assert not replay(synced.directory).pending


# Runs.


def opening(name: str, parent: str | None = None, **changes: Any) -> Opening:
    id = None if parent is None else f"researcher/{parent}"
    return Opening(f"researcher/{name}", id, "acme", "researcher", NO_LIMITS, 600.0)._replace(**changes)


def carving(world: World, name: str, carve: int) -> Opening:
    claims = world.store._force._carve_claims(
        Run(f"researcher/{name}", (f"researcher/{name}",), "acme", "researcher", NO_LIMITS, world.store.now_s(), 0.0),
        None,
        world.snapshot.budgets,
    )
    return opening(name, carve=NanoUsd(carve), carve_claims=tuple(claims))


async def test_runs_are_written_to_the_log_and_the_journal(world: World) -> None:
    store = world.store
    root = await store.open_run(opening("root"))
    assert isinstance(root, Run)
    assert await store.open_run(opening("root")) == root
    await store.open_run(opening("sub", "root"))
    paused = await store.pause_run("researcher/root", "looping")
    assert paused is not None
    assert paused.state == "paused"
    assert (await store.resume_run("researcher/root")) == root
    assert await store.close_run("researcher/nobody", "") is None
    await store.close_run("researcher/root", "done")
    world.store._keeper.write_now()
    found = replay(world.directory).runs
    assert {name: noted.run.state for name, noted in found.items()} == {
        "researcher/root": "closed",
        "researcher/sub": "closed",
    }
    assert [run.id for run in await store.runs(state="closed")] == ["researcher/sub", "researcher/root"]
    assert isinstance(await store.open_run(opening("next", "root")), tuple)


async def test_runs_whose_time_is_over_are_noted(world: World) -> None:
    await world.store.open_run(opening("root"))
    await world.store.open_run(opening("other", ttl_s=700.0))
    world.pass_time(650.0)
    await world.store.pause_run("researcher/other", "stop")
    assert {name: noted.run.state for name, noted in replay(world.directory).runs.items()} == {
        "researcher/root": "closed",
        "researcher/other": "paused",
    }


# Configurations.


def admitted_in_time(world: World, request: str) -> asyncio.Task[Granted | Refused]:
    return asyncio.create_task(world.admit(request))


async def test_a_changed_limit_holds_at_once(world: World) -> None:
    told: list[int] = []
    world.store.on_room(lambda: told.append(1))
    await world.admit("req_1", 2_000)
    old = world.ticket("req_2", 2_000)
    world.use(*BUDGETS[:2], replace(USERS, limit=NanoUsd(4_000)), BUDGETS[3])
    await turn()
    assert told == [1]
    assert isinstance(await world.store.admit(old), Granted)  # though it carries the limit before
    world.use(*BUDGETS[:2], replace(USERS, limit=NanoUsd(100)), BUDGETS[3])
    assert isinstance(await world.admit("req_3", 10), Refused)


async def test_a_new_budget_knows_what_was_spent_before(world: World) -> None:
    world.use(*BUDGETS[:2])
    await world.admit("req_1")
    world.settle("req_1", 250)
    await world.admit("req_2")
    world.use(*BUDGETS)  # `users` and `lately` come back
    granted = admitted_in_time(world, "req_3")
    await turn()
    assert not granted.done()  # it waits for what the journal says
    assert isinstance(await granted, Granted)
    assert await world.counter("users", "bob") == (250, 2_000)
    assert await world.counter("lately", "researcher") == (250, 2_000)
    world.settle("req_2", 100)
    world.settle("req_3", 100)
    assert await world.counter("users", "bob") == (450, 0)
    assert await world.differences() == []


async def test_what_is_settled_while_a_budget_is_seeded_counts_once(world: World) -> None:
    world.use(BUDGETS[0])
    for number in range(6):
        await world.admit(f"req_{number}", 100)
    world.settle("req_0", 10)
    world.use(*BUDGETS)
    for number in range(1, 5):
        await turn()
        world.settle(f"req_{number}", 10)
        await world.journal.flush()
    await world.store._seeded()
    assert await world.counter("users", "bob") == (50, 100)
    world.settle("req_5", 10)
    assert await world.differences() == []


@pytest.mark.parametrize("late", [False, True])
async def test_what_reaches_the_journal_while_it_is_read_counts_once(
    world: World, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    world.use(BUDGETS[0])
    await world.admit("req_0", 100)
    world.settle("req_0", 20)
    await world.admit("req_1", 100)
    read = force_module.spent

    async def settle_meanwhile(*asked: Any) -> Any:
        found = await read(*asked) if late else None
        if "req_1.1" in world.store._log:
            world.settle("req_1", 10)
            await world.journal.flush()
        return found if late else await read(*asked)

    monkeypatch.setattr(force_module, "spent", settle_meanwhile)
    world.use(*BUDGETS)
    await world.store._seeded()
    assert await world.counter("users", "bob") == (30, 0)
    assert await world.differences() == []


async def test_a_request_with_the_configuration_before_counts_in_new_budgets_too(world: World) -> None:
    world.use(BUDGETS[0])
    old = world.ticket("req_1", 700)
    world.use(*BUDGETS)
    await world.store._seeded()
    assert isinstance(await world.store.admit(old), Granted)
    assert await world.counter("team", "search") == (0, 700)
    world.settle("req_1", 70)
    assert await world.counter("team", "search") == (70, 0)
    assert await world.differences() == []


async def test_a_budget_with_another_window_is_counted_anew(world: World) -> None:
    await world.admit("req_1", 100)
    world.settle("req_1", 50)
    world.pass_time(700.0)
    await world.admit("req_2", 100)
    changed = replace(BUDGETS[3], window=Window("rolling", length_s=6_000))
    world.use(*BUDGETS[:3], changed)
    await world.store._seeded()
    assert await world.counter("lately", "researcher") == (50, 100)
    world.settle("req_2", 60)
    assert await world.differences() == []
    world.use(*BUDGETS[:3])
    assert "b|lately|researcher|rolling" not in {state.key for state in await world.store.counters()}


async def test_a_new_budget_holds_what_runs_have_carved(world: World) -> None:
    world.use(BUDGETS[0])
    await world.store.open_run(carving(world, "root", 500))
    world.use(*BUDGETS)
    await world.store._seeded()
    assert await world.counter("all", "") == (0, 500)
    assert await world.counter("team", "search") == (0, 500)
    assert await world.counter("users", "bob") == (0, 0)
    await world.store.close_run("researcher/root", "done")
    assert await world.counter("team", "search") == (0, 0)


async def test_a_journal_that_cannot_be_read_keeps_a_new_budget_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.use(BUDGETS[0])

    async def fail(self: Journal) -> None:
        raise JournalError("the disk is gone")

    world.store._timeout_s = 0.0
    flush, world.store._force._flush = world.store._force._flush, lambda: fail(world.journal)
    world.use(*BUDGETS)
    with pytest.raises(StoreUnavailable):
        await world.admit("req_1")
    world.store._force._flush = flush
    await world.store._force.seeded()
    assert isinstance(await world.admit("req_1"), Granted)


# People.


def entry(world: World, amount: int) -> Adjusted:
    return Adjusted("adj_1", NOON_S, "users", "bob", world.store.now_s(), amount, "a gift", "ops")


async def test_an_adjustment_is_posted_once(world: World) -> None:
    key = world.claims(world.ticket("req_1").bids[0].origin)[2].key
    world.journal.write((entry(world, 700),))
    for _ in range(2):
        state = await world.store.adjust(key, 700, "adj_1")
        assert state is not None
        assert (state.posted, state.limit) == (700, 3_000)
    assert await world.store.adjust("b|nobody||total", 5, "adj_2") is None
    assert await world.differences() == []


async def test_an_adjustment_of_a_budget_that_is_being_seeded_counts_once(world: World) -> None:
    world.use(BUDGETS[0])
    world.use(*BUDGETS)
    world.journal.write((entry(world, 700),))
    await world.journal.flush()
    key = world.claims(world.ticket("req_1").bids[0].origin)[2].key
    state = await world.store.adjust(key, 700, "adj_1")
    assert state is not None
    assert state.posted == 700
    assert await world.differences() == []


async def test_the_directory_is_one_store_s(world: World) -> None:
    journal = await Journal.open(world.snapshot.storage)
    with pytest.raises(StorageLocked):
        await MemoryStore.open(world.snapshot, journal)
    await journal.close()


async def test_time_never_goes_back_in_a_window(world: World) -> None:
    world.wall_s -= 7_200.0
    assert world.store.now_s() == NOON_S
    await world.admit("req_1")
    world.settle("req_1")
    assert await world.counter("team", "search") == (250, 0)
