from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.journal.database import JournalError
from gateway.journal.queries import request_cost
from gateway.ledger.budgets import RunLimits
from gateway.ledger.operations import Amounts, Bid, Claim, Granted, Opening, Refused, Run, Ticket, Unit
from gateway.store.log import ReservationLog, segments
from gateway.store.records import Settled, scan
from gateway.telemetry.events import Adjusted, ChargePosted
from routing.money import NanoUsd
from tests.gateway.store.memory_world import BUDGETS, World
from tests.gateway.store.samples import NOON_S, charge, origin
from tests.gateway.store.test_log import Disk


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.start()
    yield world
    await world.stop()


async def test_an_attempt_under_way_is_charged_in_full(world: World) -> None:
    await world.admit("req_1", 700)
    world.pass_time(60.0)
    await world.restart()
    assert await world.counter("users", "bob") == (700, 0)
    found = await request_cost(world.journal, "req_1", None)
    assert found is not None
    (orphan,) = found.charges
    assert (orphan.charge_id, orphan.resolution, orphan.outcome, orphan.purpose, orphan.estimated) == (
        "req_1.1",
        "orphaned",
        "orphaned",
        "failed",
        True,
    )
    assert (orphan.cost_nano_usd, orphan.reserved_nano_usd, orphan.usage.output_tokens) == (700, 700, 40)
    assert (orphan.window_at_s, orphan.at_s) == (NOON_S, NOON_S + 60.0)
    told: list[ChargePosted] = []
    world.store.on_orphans(told.extend)
    world.store.on_orphans(told.extend)
    assert told == [orphan], "once"
    assert (found.request.outcome, found.request.status, found.request.cost_nano_usd) == ("lost", 0, 700)
    assert await world.differences() == []


async def test_a_settlement_that_the_journal_lacks_is_brought_to_it(world: World) -> None:
    await world.admit("req_1")
    posted = world.settle("req_1", 250)
    await world.admit("req_2", 10)  # takes the settlement along
    world.store.release("req_2.1", charge("req_2", 0)._replace(resolution="released"))
    world.store._keeper.write_now()
    await world.restart()
    found = await request_cost(world.journal, "req_1", None)
    assert found is not None
    assert found.charges == (posted,)
    assert await world.counter("users", "bob") == (250, 0)
    released = await request_cost(world.journal, "req_2", None)
    assert released is not None
    assert [each.resolution for each in released.charges] == ["released"]
    assert await world.differences() == []


async def test_the_journal_s_charge_wins_over_an_orphan_s(world: World) -> None:
    """Killed after the journal had the charge, before the log had the settlement."""
    await world.admit("req_1", 700)
    world.settle("req_1", 250)
    await world.journal.flush()
    await world.restart()
    assert await world.counter("users", "bob") == (250, 0)
    assert await world.differences() == []


async def test_a_request_of_two_attempts_is_one_row(world: World) -> None:
    await world.admit("req_1", 700)
    world.settle("req_1", 250)
    await world.journal.flush()
    await world.store.admit(world.ticket("req_1", 500, attempt=2))
    await world.restart()
    found = await request_cost(world.journal, "req_1", None)
    assert found is not None
    assert [each.cost_nano_usd for each in found.charges] == [250, 500]
    assert found.request.cost_nano_usd == 750


async def test_a_start_in_order_after_an_end_in_order_changes_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.admit("req_1")
    world.settle("req_1")
    await world.stop()
    # Its request was never finished in this test: the first start says so, the second has nothing to say.
    await world.start()
    await world.store._tidy()
    await world.stop()
    caplog.clear()
    await world.start()
    assert caplog.text == ""
    assert await world.counter("all", "") == (250, 0)


async def test_old_files_are_gone_after_a_start(world: World) -> None:
    await world.admit("req_1")
    for _ in range(3):
        await world.restart()
    await world.store._tidy()
    assert len(segments(world.directory)) == 1
    assert await world.counter("all", "") == (1_000, 0)


async def test_windows_that_are_over_are_not_counted_again(world: World) -> None:
    await world.admit("req_1", 700)
    world.pass_time(3_700.0)
    await world.restart()
    assert await world.counter("team", "search") == (0, 0)
    assert await world.counter("lately", "researcher") == (0, 0)
    assert await world.counter("all", "") == (700, 0)


async def test_the_clock_does_not_go_behind_what_it_has_shown(world: World) -> None:
    world.pass_time(3_000.0)
    await world.admit("req_1")
    await world.kill()
    world.wall_s -= 3_000.0
    await world.start()
    assert world.store.now_s() == NOON_S + 3_000.0
    await world.stop()
    world.wall_s -= 3_000.0
    await world.start()  # the log is done with: the journal knows
    assert world.store.now_s() == NOON_S + 3_000.0


async def test_a_damaged_log_is_told_and_what_is_known_is_charged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    path = segments(world.directory)[-1][1]
    ends = []
    for number in range(3):
        await world.admit(f"req_{number}", 100)
        ends.append(path.stat().st_size)
    await world.kill()
    data = bytearray(path.read_bytes())
    data[ends[0] + 20] ^= 0xFF
    path.write_bytes(data)
    await world.start()
    assert f"{path}, bytes {ends[0]} to {ends[1]} cannot be read" in caplog.text
    assert await world.counter("all", "") == (200, 0)


async def test_a_journal_that_cannot_be_written_stops_the_start_and_loses_nothing(world: World) -> None:
    await world.admit("req_1", 700)
    await world.kill()
    files = segments(world.directory)
    (world.directory / "reservations-7.log").mkdir()
    with pytest.raises(JournalError, match=r"reservations.*cannot be read"):
        await world.start()
    (world.directory / "reservations-7.log").rmdir()
    assert segments(world.directory) == files
    await world.start()
    assert await world.counter("all", "") == (700, 0)


async def test_a_disk_without_room_for_the_log_stops_the_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.admit("req_1", 700)
    await world.kill()
    disk = Disk(monkeypatch)
    disk.free = 5
    with pytest.raises(JournalError, match="log of reservations cannot be written"):
        await world.start()
    disk.free = None
    await world.start()  # the lock is free, the charges are there
    assert await world.counter("all", "") == (700, 0)


async def test_an_entry_by_hand_that_is_sent_again_after_a_start_counts_once(world: World) -> None:
    entry = Adjusted("adj_1", NOON_S, "users", "bob", world.store.now_s(), 700, "a gift", "ops")
    world.journal.write((entry,))
    await world.journal.flush()
    await world.restart()  # before the store heard of it
    key = world.claims(origin())[2].key
    state = await world.store.adjust(key, 700, "adj_1")
    assert state is not None
    assert state.posted == 700
    assert await world.differences() == []


# Runs.


def run_claims(run: Run) -> tuple[Claim, ...]:
    scope = f"run:{run.id}"
    return (
        Claim(f"r|{run.id}|cost", Unit.MONEY, run.limits.cost or 0, 0, scope),
        Claim(f"r|{run.id}|requests", Unit.REQUESTS, run.limits.requests or 0, 0, scope),
        Claim(f"r|{run.id}|tokens", Unit.TOKENS, run.limits.tokens or 0, 0, scope),
    )


LIMITS = RunLimits(cost=NanoUsd(2_000), requests=10, tokens=500)


def opening(name: str, parent: str | None = None, **changes: Any) -> Opening:
    return Opening(f"researcher/{name}", parent, "acme", "researcher", LIMITS, 7_200.0)._replace(**changes)


def ticket_in(run: Run, request: str, claims: tuple[Claim, ...], money: int, via: str | None = None) -> Ticket:
    amounts = Amounts(money, 40)
    of = origin(request, run_path=">".join(reversed(run.path)))
    return Ticket(f"{request}.1", (Bid(claims, (), amounts, amounts, amounts, 0, of),), run.path, via)


def settle_in(
    world: World, run: Run, request: str, cost: int, window_at_s: float, *, reserved_at_s: float = 0.0
) -> None:
    path = ">".join(reversed(run.path))
    posted = charge(request, cost, window_at_s=window_at_s)._replace(run_path=path, reserved_at_s=reserved_at_s)
    world.store.settle(posted.charge_id, Amounts(cost, 30), posted)
    world.journal.write((posted,))


async def test_runs_go_on_where_they_were(world: World) -> None:
    store = world.store
    root = await store.open_run(opening("root"))
    sub = await store.open_run(opening("sub", "researcher/root"))
    done = await store.open_run(opening("done"))
    assert isinstance(root, Run)
    assert isinstance(sub, Run)
    assert isinstance(done, Run)
    await store.close_run(done.id, "done")
    both = (*run_claims(root), *run_claims(sub))
    await store.admit(ticket_in(sub, "req_1", both, 900))
    settle_in(world, sub, "req_1", 250, NOON_S)
    await store.admit(ticket_in(sub, "req_2", both, 600))
    await store.pause_run(root.id, "looping")
    store = await world.restart()
    assert await store.run(root.id) == root._replace(state="paused", reason="looping")
    assert await store.run(sub.id) == sub
    closed = await store.open_run(opening("done"))
    assert isinstance(closed, Run)
    assert closed.state == "closed"
    states = {state.key: (state.posted, state.limit) for state in await store.counters()}
    for run in (root, sub):
        assert states[f"r|{run.id}|cost"] == (850, 2_000)
        assert states[f"r|{run.id}|requests"] == (2, 10)
        assert states[f"r|{run.id}|tokens"] == (70, 500)
    answer = await store.admit(ticket_in(sub, "req_3", both, 10))
    assert isinstance(answer, Refused)
    assert answer.denials[0].cause == "paused"


async def carve(world: World, name: str, amount: int) -> Run:
    store = world.store
    found = Run(f"researcher/{name}", (f"researcher/{name}",), "acme", "researcher", LIMITS, store.now_s(), 0.0)
    claims = store._force.carve_claims(found, None)
    run = await store.open_run(opening(name, carve=NanoUsd(amount), carve_claims=claims))
    assert isinstance(run, Run)
    return run


async def test_a_carve_outlives_its_gateway(world: World) -> None:
    run = await carve(world, "root", 1_500)
    at_s = world.store.now_s()
    assert await world.counter("team", "search") == (0, 1_500)
    purse = (Claim(f"k|{run.id}", Unit.MONEY, 1_500, 0, f"run:{run.id}"),)
    first = ticket_in(run, "req_1", purse, 400, f"carve:{run.id}")
    assert isinstance(await world.store.admit(first), Granted)
    settle_in(world, run, "req_1", 300, at_s)
    world.pass_time(3_700.0)  # another hour
    second = ticket_in(run, "req_2", purse, 200, f"carve:{run.id}")
    granted = await world.store.admit(second)
    assert isinstance(granted, Granted)
    assert granted.at_s == at_s + 3_700.0
    for _ in range(2):
        await world.restart()
        assert await world.counter("all", "") == (500, 1_000)
        assert await world.counter("team", "search") == (0, 0)
        states = {state.key: state for state in await world.store.counters()}
        hour = BUDGETS[1].window.at(at_s).id
        assert (states[f"b|team|search|{hour}"].posted, states[f"b|team|search|{hour}"].reserved) == (500, 1_000)
        assert states[f"k|{run.id}"].room == 1_000
        assert await world.differences() == []
    third = ticket_in(run, "req_3", purse, 1_001, f"carve:{run.id}")
    assert isinstance(await world.store.admit(third), Refused)
    await world.store.close_run(run.id, "done")
    assert await world.counter("all", "") == (500, 0)
    await world.restart()
    assert await world.counter("all", "") == (500, 0)


async def test_a_carve_counts_in_the_budgets_of_the_next_start(world: World) -> None:
    world.use(BUDGETS[0])
    await world.store._seeded()
    await carve(world, "root", 1_500)
    world.use(*BUDGETS)
    await world.restart()
    assert await world.counter("team", "search") == (0, 1_500)
    world.use(BUDGETS[1])
    await world.restart()
    assert {state.key.split("|")[1] for state in await world.store.counters() if state.key[0] == "b"} == {"team"}


# At every byte.


async def test_killed_at_any_byte_of_the_log_nothing_is_lost_and_nothing_overspent(tmp_path: Path) -> None:
    """A history is recorded, then its log cut off behind every record and in the middle of it, with an empty journal:
    as if the gateway had been killed there and the journal had had no time to write anything.
    """
    recorded = World(tmp_path / "recorded", BUDGETS)
    await recorded.start()
    path = segments(recorded.directory)[-1][1]
    ends = [path.stat().st_size]
    bills: list[int] = []  # what providers will have billed when all that is under way ends, after each record

    def end(bill: int) -> None:
        recorded.store._keeper.write_now()
        ends.append(path.stat().st_size)
        bills.append(bill)

    bill = 0
    for number in range(10):
        granted = await recorded.admit(f"req_{number}", 700)
        if isinstance(granted, Refused):
            break
        bill += 200 + number
        end(bill)
        if number % 3:
            recorded.settle(f"req_{number}", 200 + number)
            end(bill)
    assert number > 5
    await recorded.kill()
    data = path.read_bytes()
    assert ends[-1] == len(data)
    for index in range(1, len(ends)):
        for size in {ends[index - 1] + 1, ends[index] - 1, ends[index]}:
            world = World(Path(tempfile.mkdtemp(dir=tmp_path)), BUDGETS)
            world.directory.mkdir()
            (world.directory / path.name).write_bytes(data[:size])
            await world.start()
            told = bills[index - 1] if size == ends[index] else (bills[index - 2] if index > 1 else 0)
            for budget in BUDGETS:
                value = {"all": "", "team": "search", "users": "bob", "lately": "researcher"}[budget.id]
                posted, reserved = await world.counter(budget.id, value)
                assert told <= posted + reserved <= budget.limit
            assert await world.differences() == []
            await world.stop()


async def test_a_recovery_that_is_killed_is_made_again(tmp_path: Path) -> None:
    """Whatever part of the first recovery reached the journal."""
    world = World(tmp_path)
    await world.start()
    for number in range(4):
        await world.admit(f"req_{number}", 500)
    world.settle("req_0", 100)
    world.settle("req_1", 100)
    world.store._keeper.write_now()
    await world.kill()
    (_, path), *_ = segments(world.directory)
    log = path.read_bytes()
    await world.start()
    await world.kill()
    for _, later in segments(world.directory):
        later.unlink()
    path.write_bytes(log)
    await world.start()
    assert await world.counter("all", "") == (1_200, 0)
    assert await world.differences() == []
    await world.stop()


# Any history, any number of lives.


class Lives(RuleBasedStateMachine):
    """A store that is killed and started, stopped and started, and reconfigured, while attempts come and go."""

    @initialize()
    def start(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.run = self.loop.run_until_complete
        self.world = World(self.directory, BUDGETS)
        self.run(self.world.start())
        self.count = 0
        self.pending: dict[str, tuple[int, float]] = {}
        self.costs: dict[str, tuple[int, float]] = {}
        """What providers bill, by request; and when it was reserved."""
        self.absent: set[str] = set()
        """Budgets that were not in force for a while: what was admitted then may be beyond their limits."""

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.run(self.world.stop())
            self.loop.close()
            shutil.rmtree(self.directory)

    @rule(money=st.integers(0, 1_500))
    def admit(self, money: int) -> None:
        self.count += 1
        name = f"req_{self.count}"
        answer = self.run(self.world.admit(name, money))
        if isinstance(answer, Granted):
            self.pending[name] = money, answer.at_s

    @precondition(lambda self: self.pending)
    @rule(index=st.integers(0, 20), share=st.floats(0, 1))
    def settle(self, index: int, share: float) -> None:
        name = list(self.pending)[index % len(self.pending)]
        money, at_s = self.pending.pop(name)
        cost = int(money * share)
        self.world.settle(name, cost, at_s=at_s)
        self.costs[name] = cost, at_s

    @precondition(lambda self: self.pending)
    @rule(index=st.integers(0, 20))
    def release(self, index: int) -> None:
        name = list(self.pending)[index % len(self.pending)]
        self.pending.pop(name)
        self.world.store.release(f"{name}.1", None)

    @rule(seconds=st.sampled_from((1.0, 9.0, 300.0, 3_600.0)))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule()
    def write(self) -> None:
        self.world.store._keeper.write_now()

    @rule()
    def flush(self) -> None:
        self.run(self.world.journal.flush())

    @rule()
    def rotate(self) -> None:
        self.world.store._log.rotate()

    @rule()
    def tidy(self) -> None:
        self.run(self.world.store._tidy())

    @rule(kept=st.lists(st.sampled_from(BUDGETS), unique=True))
    def reload(self, kept: list[Any]) -> None:
        self.absent |= {budget.id for budget in BUDGETS if budget not in kept}
        self.world.use(*kept)
        self.run(self.world.store._seeded())

    @rule()
    def kill(self) -> None:
        self.run(self.world.restart())
        self._orphan()

    @rule()
    def stop(self) -> None:
        self.run(self.world.stop())
        self.run(self.world.start())
        self._orphan()

    def _orphan(self) -> None:
        """The providers bill all of it, as bad luck will have it."""
        self.costs |= self.pending
        self.pending.clear()

    @invariant()
    def the_counters_are_the_journal_s(self) -> None:
        assert self.run(self.world.differences()) == []

    @invariant()
    def nobody_overspends_and_nothing_is_lost(self) -> None:
        now_s = self.world.store.now_s()
        for budget in self.world.snapshot.budgets:
            value = {"all": "", "team": "search", "users": "bob", "lately": "researcher"}[budget.id]
            posted, reserved = self.run(self.world.counter(budget.id, value))
            span = budget.window.at(now_s)
            since_s = now_s - 600.0 if budget.window.bucket_s else span.start_s
            bill = sum(cost for cost, at_s in self.costs.values() if at_s >= since_s)
            assert posted >= bill
            assert posted + reserved <= budget.limit or budget.id in self.absent


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)


def test_a_settlement_is_in_the_log_word_for_word(tmp_path: Path) -> None:
    log = ReservationLog(tmp_path)
    log.reserve("req_1.1", NOON_S, Amounts(1, 1), None, origin())
    log.settle("req_1.1", charge())
    log.close()
    records = list(scan(segments(tmp_path)[-1][1].read_bytes()))
    assert records[-1] == Settled("req_1.1", charge())
