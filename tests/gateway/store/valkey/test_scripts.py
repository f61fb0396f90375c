"""What the Lua functions do that no model of plain integers shows: exact money, seeding, expiry, events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ledger.budgets import NO_LIMITS
from gateway.ledger.operations import Amounts, Claim, Granted, Opening, Refused, Unit
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey import scripts
from gateway.store.valkey.client import Client
from gateway.store.valkey.codec import Resolved, decode
from gateway.store.valkey.seeding import Seeds
from gateway.store.valkey.store import ValkeyStore
from routing.money import NanoUsd
from tests.gateway.store.valkey.driver import START_S, Driver
from tests.gateway.store.valkey.values import charge, money, origin, ticket

META = "{machine}:meta"
EVENTS = "{machine}:events"
DAY_S = 86_400.0


class Bench(Driver):
    """A store on a clock that stands still, whose missing counters are seeded by `journal`."""

    def journal(self, upto: int) -> None:
        """The journal knows the stream up to event number `upto`, and is asked from now on."""
        self.store._seeder = Journal(self.server, upto)

    def counter(self, key: str) -> dict[str, str]:
        found = self.server.hgetall(f"{{machine}}:c:{key}")
        return {name.decode(): value.decode() for name, value in found.items()}

    def state(self, key: str) -> tuple[int, int]:
        (found,) = self.counters_of(key)
        return found.posted, found.reserved

    def counters_of(self, *keys: str) -> Sequence[object]:
        return self.wait(self.store.counters(keys))

    def events(self) -> list[bytes]:
        return [fields[b"k"] for _, fields in self.server.xrange(EVENTS)]


class Journal:
    """Sums of what the stream's first events posted: what the drain would have written. Labels are the tests' own."""

    def __init__(self, server: redis.Redis, upto: int) -> None:
        self.server = server
        self.upto = upto
        self.asked = 0

    async def seed(self, claims: Sequence[Claim]) -> Seeds:
        self.asked += 1
        posted = {claim.key: dict[int, int]() for claim in claims}
        for name, fields in self.server.xrange(EVENTS):
            event = decode(fields)
            if int(name.split(b"-")[1]) > self.upto or not isinstance(event, Resolved) or event.charge is None:
                continue
            cost, at_s = event.charge.cost_nano_usd, event.charge.window_at_s
            if event.charge.resolution == "released":
                continue
            for claim in claims:
                if claim.start_s <= at_s < claim.end_s:
                    bucket = int(at_s // claim.bucket_s) if claim.bucket_s else 0
                    sums = posted[claim.key]
                    sums[bucket] = sums.get(bucket, 0) + cost
        sums = [posted[c.key] if c.bucket_s else sum(posted[c.key].values()) for c in claims]
        return Seeds(f"1-{self.upto}" if self.upto else "0-0", sums)


@pytest.fixture
def bench(valkey_url: str) -> Iterator[Bench]:
    loop = asyncio.new_event_loop()
    found = Bench(loop, valkey_url)
    yield found
    found.close()
    loop.close()


# --- money ---


def test_money_is_exact_beyond_the_doubles(bench: Bench) -> None:
    """2**53 + 1 nano-USD is no double; one more or less has to be seen all the same."""
    limit = 2**60 + 1
    claims = (money("b|big||total", limit),)
    first = ticket("first", claims, Amounts(2**60, 0))
    assert isinstance(bench.admit(first), Granted)
    assert isinstance(bench.admit(ticket("second", claims, Amounts(2, 0))), Refused)
    assert isinstance(bench.admit(ticket("third", claims, Amounts(1, 0))), Granted)
    bench.settle("first.1", Amounts(2**60 - 1, 0))
    assert bench.counter("b|big||total")["posted"] == str(2**60 - 1)
    assert bench.state("b|big||total") == (2**60 - 1, 1)


def test_amounts_of_different_lengths_are_told_apart_though_their_doubles_are_equal(bench: Bench) -> None:
    claims = (money("b|big||total", 10**17 - 1),)
    assert isinstance(bench.admit(ticket("over", claims, Amounts(10**17, 0))), Refused)
    assert isinstance(bench.admit(ticket("fits", claims, Amounts(10**17 - 1, 0))), Granted)


@given(
    limit=st.integers(0, 2**61),
    steps=st.lists(st.tuples(st.integers(0, 2**60), st.integers(0, 2**60)), max_size=6),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_amount_is_added_up_exactly(bench: Bench, limit: int, steps: list[tuple[int, int]]) -> None:
    bench.server.flushall()
    bench.server.hset(META, mapping={"epoch": "1", "now": str(int(START_S * 1e6))})
    bench.store.resume("1")
    claims = (money("b|any||total", limit),)
    posted = 0
    for number, (want, spent) in enumerate(steps):
        answer = bench.admit(ticket(f"r{number}", claims, Amounts(want, 0)))
        assert isinstance(answer, Granted) == (want <= limit - posted)
        if isinstance(answer, Granted):
            assert bench.state("b|any||total") == (posted, want)
            if posted + spent >= 2**62:
                bench.release(f"r{number}.1")
                continue
            bench.settle(f"r{number}.1", Amounts(spent, 0))
            posted += spent
            assert bench.state("b|any||total") == (posted, 0)
        else:
            assert answer.denials[0].cause == "posted"
            assert answer.denials[0].limit == limit


def test_a_limit_beyond_the_doubles_is_changed_exactly(bench: Bench) -> None:
    bench.admit(ticket("first", (money("b|big||total", 2**60 + 1),)))
    bench.admit(ticket("second", (money("b|big||total", 2**60 + 3, version=2),)))
    assert bench.counter("b|big||total")["limit"] == str(2**60 + 3)
    assert bench.counter("b|big||total")["room"] == str(2**60 + 3 - 20)


# --- events ---


def test_every_change_appends_its_event_in_the_same_call(bench: Bench) -> None:
    claims = (money("b|a||total", 100)._replace(calibrated=True),)
    bench.admit(ticket("one", claims))
    bench.extend("one.1", Amounts(1, 1))
    bench.settle("one.1", Amounts(5, 5))
    bench.settle("one.1", Amounts(5, 5))
    bench.admit(ticket("two", claims))
    bench.release("two.1")
    bench.admit(ticket("three", claims))
    bench.orphan("three.1")
    bench.settle("three.1", Amounts(7, 7))
    bench.admit(ticket("four", claims))
    bench.orphan("four.1")
    bench.release("four.1")
    bench.adjust("b|a||total", -3, "entry")
    bench.adjust("b|a||total", -3, "entry")
    kinds = b"admit extend settle admit release admit orphan correct admit orphan void adjust"
    assert bench.events() == kinds.split()
    names = [name for name, _ in bench.server.xrange(EVENTS)]
    assert names == [b"1-%d" % number for number in range(1, len(names) + 1)]
    assert int(bench.server.hget(META, "seq") or 0) == len(names)


def test_a_refusal_changes_nothing_and_tells_nothing(bench: Bench) -> None:
    bench.admit(ticket("fits", (money("b|a||total", 10),)))
    before = {name: bench.server.dump(name) for name in bench.server.scan_iter() if name != META.encode()}
    slots = Claim("c|few|x", Unit.SLOTS, 5, 1, "agent:researcher")
    refused = bench.admit(ticket("not", (slots, money("b|a||total", 12, version=7))))
    assert isinstance(refused, Refused)
    assert {name: bench.server.dump(name) for name in bench.server.scan_iter() if name != META.encode()} == before


def test_the_charge_of_an_orphan_and_its_correction_add_up(bench: Bench) -> None:
    bench.admit(ticket("one", (money("b|a||total", 100),), Amounts(30, 30)))
    bench.orphan("one.1")
    assert bench.state("b|a||total") == (30, 0)
    bench.settle("one.1", Amounts(12, 12))
    assert bench.state("b|a||total") == (12, 0)
    events = [decode(fields) for _, fields in bench.server.xrange(EVENTS)]
    costs = [event.charge.cost_nano_usd for event in events if isinstance(event, Resolved) and event.charge]
    assert costs == [30, -18]


# --- ids ---


def test_an_admission_that_comes_after_its_release_is_called_off(bench: Bench) -> None:
    bench.release("late.1")
    refused = bench.admit(ticket("late", (money("b|a||total", 100),)))
    assert isinstance(refused, Refused)
    assert refused.denials[0].cause == "closed"


def test_a_settlement_of_what_nobody_admitted_is_told_once(bench: Bench) -> None:
    bench.settle("lost.1", Amounts(5, 5))
    bench.settle("lost.1", Amounts(5, 5))
    assert bench.events() == [b"settle"]


def test_what_is_finished_is_forgotten_and_what_is_over_too(bench: Bench) -> None:
    window = money("b|a||hour", 100)._replace(start_s=START_S - 10, end_s=START_S + 10)
    bench.admit(ticket("one", (window,)))
    assert bench.server.ttl("{machine}:r:one.1") == -1
    bench.settle("one.1", Amounts(1, 1))
    assert 0 < bench.server.ttl("{machine}:r:one.1") <= 3600


# --- seeding ---

OLD, NEW = "b|old|acme|total", "b|new|acme|total"


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int]]:
    kinds = st.sampled_from(("admit", "admit", "settle", "release", "orphan", "correct"))
    return [(draw(kinds), draw(st.integers(0, 30))) for _ in range(draw(st.integers(1, 12)))]


def play(bench: Bench, history: list[tuple[str, int]], claim: Claim) -> None:
    """Attempts that count in one budget."""
    pending: list[str] = []
    orphaned: list[str] = []
    for number, (kind, amount) in enumerate(history):
        if kind == "admit":
            bench.admit(ticket(f"h{number}", (claim,), Amounts(amount, 1)))
            pending.append(f"h{number}.1")
        elif kind == "correct" and orphaned:
            bench.settle(orphaned.pop(), Amounts(amount, 1))
        elif pending and kind == "orphan":
            orphaned.append(pending.pop(0))
            bench.orphan(orphaned[-1])
        elif pending and kind == "settle":
            bench.settle(pending.pop(0), Amounts(amount, 1))
        elif pending and kind == "release":
            bench.release(pending.pop(0))


@given(history=histories(), known=st.integers(0, 40), bucket_s=st.sampled_from((0, 10)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_new_budget_counts_all_that_it_would_have_counted(
    bench: Bench, history: list[tuple[str, int]], known: int, bucket_s: int
) -> None:
    """Whatever part of the stream the journal has, and whatever is pending, orphaned or corrected meanwhile."""
    bench.server.flushall()
    bench.server.hset(META, mapping={"epoch": "1", "now": str(int(START_S * 1e6))})
    bench.store.resume("1")
    old = money(OLD, 10**6, scope="org:acme")._replace(bucket_s=bucket_s)
    new = money(NEW, 10**6, scope="org:acme")._replace(bucket_s=bucket_s)
    bench.journal(0)
    play(bench, history, old)
    bench.journal(min(known, bench.server.xlen(EVENTS)))
    first = ticket("first", (old, new), Amounts(0, 0))
    assert isinstance(bench.admit(first), Granted)
    assert bench.state(NEW) == bench.state(OLD)
    for number, (kind, _) in enumerate(history):  # those that were pending then end now
        if kind == "admit":
            bench.settle(f"h{number}.1", Amounts(9, 1))
    assert bench.state(NEW) == bench.state(OLD)


LABELS = [
    ("global", True),
    ("org:acme", True),
    ("org:other", False),
    ("team:search", True),
    ("model:small", True),
    ("provider:a", True),
    ("provider:b", False),
    ("user:(none)", True),
    ("user:ann", False),
    ("tag:feature=search", True),
    ("tag:feature=other", False),
    ("tag:feature=(none)", False),
    ("tag:cost=(none)", True),
    ("run:(none)", True),
    ("run:researcher/one", False),
]


@pytest.mark.parametrize(("scope", "expected"), LABELS)
@pytest.mark.parametrize("ended", [True, False])
def test_a_new_budget_counts_only_what_is_in_its_scope(bench: Bench, scope: str, expected: bool, ended: bool) -> None:
    bench.journal(0)
    bench.admit(ticket("one", (money(OLD, 10**6, scope="global"),)))
    tags = (("feature", "search"),)
    if ended:
        bench.store.settle("one.1", Amounts(10, 1), charge("one.1", Amounts(10, 1))._replace(tags=tags))
        bench.wait(bench.store.flush())
    bench.admit(ticket("two", (money(NEW, 10**6, scope=scope),), Amounts(0, 0)))
    assert sum(bench.state(NEW)) == (10 if expected else 0)


def test_a_new_budget_does_not_count_what_a_carve_holds_twice(bench: Bench) -> None:
    bench.journal(0)
    old = money(OLD, 10**6, scope="org:acme")
    root = origin("root")
    opening = Opening("researcher/one", None, "acme", "researcher", NO_LIMITS, 600.0, NanoUsd(100), (old,), None, root)
    bench.open_run(opening)
    purse = Claim("k|researcher/one", Unit.MONEY, 100, 0, "run:researcher/one")
    spending = ticket("one", (purse,), Amounts(40, 0))
    bench.admit(spending._replace(runs=("researcher/one",), via="carve:researcher/one"))
    bench.admit(ticket("two", (old, money(NEW, 10**6, scope="org:acme")), Amounts(0, 0)))
    assert bench.state(OLD) == bench.state(NEW) == (0, 100)
    bench.settle("one.1", Amounts(30, 0))
    assert bench.state(OLD) == bench.state(NEW) == (30, 70)
    bench.close_run("researcher/one", "done")
    assert bench.state(OLD) == bench.state(NEW) == (30, 0)


@pytest.mark.parametrize("end", ["settled", "orphaned", "corrected", "voided"])
def test_what_is_spent_of_a_carve_counts_at_its_own_moment_where_the_carve_is_not_reserved(
    bench: Bench, end: str
) -> None:
    bench.journal(0)
    root, one, two = "researcher/root", "researcher/one", "researcher/two"
    bench.open_run(Opening(root, None, "acme", "researcher", NO_LIMITS, 10 * DAY_S))
    of_root = origin("root")._replace(run_path=root)
    opening = Opening(one, root, "acme", "researcher", NO_LIMITS, 10 * DAY_S, NanoUsd(100), (), None, of_root)
    bench.open_run(opening)
    noon_s = START_S + DAY_S / 2
    bench.server.hset(META, "now", str(int(noon_s * 1e6)))
    carved = (Claim(f"k|{one}", Unit.MONEY, 100, 0, f"run:{one}"),)
    of_one = origin("one")._replace(run_path=f"{root}>{one}")
    inside = Opening(two, one, "acme", "researcher", NO_LIMITS, 10 * DAY_S, NanoUsd(50), carved, f"carve:{one}", of_one)
    bench.open_run(inside)
    next_day_s = START_S + DAY_S
    bench.server.hset(META, "now", str(int(next_day_s * 1e6)))
    path = f"{root}>{one}>{two}"
    spending = ticket("spending", (Claim(f"k|{two}", Unit.MONEY, 50, 0, f"run:{two}"),), Amounts(40, 0))
    bid = spending.bids[0]._replace(origin=origin("spending", "ann")._replace(run_path=path))
    granted = bench.admit(spending._replace(bids=(bid,), runs=(two, one, root), via=f"carve:{two}"))
    assert isinstance(granted, Granted)
    assert granted.at_s == next_day_s
    if end != "settled":
        bench.orphan("spending.1")
    if end == "voided":
        bench.store.release("spending.1")
    elif end != "orphaned":
        posted = charge("spending.1", Amounts(30, 1))._replace(run_path=path, user="ann")
        bench.store.settle("spending.1", Amounts(30, 1), posted)
    bench.wait(bench.store.flush())
    told = [decode(fields) for _, fields in bench.server.xrange(EVENTS)]
    charges = [event.charge for event in told if isinstance(event, Resolved) and event.charge is not None]
    assert {(each.window_at_s, each.reserved_at_s) for each in charges} == {(START_S, next_day_s)}
    cost = {"settled": 30, "orphaned": 40, "corrected": 30, "voided": 0}[end]
    scopes = {"user:ann": cost, f"run:{two}": cost, f"run:{one}": 0, f"run:{root}": 0, "org:acme": 0}
    claims = [
        Claim(f"b|{scope}||now", Unit.MONEY, 10**6, 1, scope, start_s=next_day_s, end_s=next_day_s + DAY_S)
        for scope in scopes
    ]
    claims.append(Claim("b|half||now", Unit.MONEY, 10**6, 1, f"run:{one}", start_s=noon_s, end_s=noon_s + DAY_S))
    claims.append(Claim("b|all||now", Unit.MONEY, 10**6, 1, f"run:{root}", start_s=START_S, end_s=noon_s + DAY_S))
    assert isinstance(bench.admit(ticket("two", tuple(claims), Amounts(0, 0))), Granted)
    posted_now = [bench.state(claim.key)[0] for claim in claims]
    assert posted_now == [*scopes.values(), cost, cost]


def test_a_journal_that_is_far_behind_is_waited_for(bench: Bench) -> None:
    bench.journal(0)
    bench.admit(ticket("one", (money(OLD, 10**6, scope="org:acme"),)))
    bench.settle("one.1", Amounts(10, 1))
    bench.server.xtrim(EVENTS, minid="1-3", approximate=False)  # the drain has gone on since the journal was asked
    stale = Journal(bench.server, 0)
    bench.store._seeder = stale
    with pytest.raises(StoreUnavailable, match="behind"):
        bench.admit(ticket("two", (money(NEW, 10**6, scope="org:acme"),)))
    assert stale.asked > 1
    bench.journal(2)
    assert isinstance(bench.admit(ticket("three", (money(NEW, 10**6, scope="org:acme"),))), Granted)


def test_an_adjustment_that_the_seed_counts_is_not_posted_again(bench: Bench) -> None:
    class Adjusted(Journal):
        async def seed(self, claims: Sequence[Claim]) -> Seeds:
            return Seeds("0-0", [-5 for _ in claims], [("entry",) for _ in claims])

    bench.store._seeder = Adjusted(bench.server, 0)
    bench.admit(ticket("one", (money(NEW, 100, scope="org:acme"),), Amounts(0, 0)))
    assert bench.state(NEW) == (-5, 0)
    assert bench.wait(bench.store.adjust(NEW, -5, "entry")) is not None
    assert bench.state(NEW) == (-5, 0)
    bench.wait(bench.store.adjust(NEW, -5, "another"))
    assert bench.state(NEW) == (-10, 0)


def test_an_evicted_counter_gets_its_reservations_back(bench: Bench) -> None:
    bench.journal(0)
    claim = money(OLD, 100, scope="org:acme")
    bench.admit(ticket("one", (claim,), Amounts(70, 0)))
    bench.server.delete(f"{{machine}}:c:{OLD}")
    assert isinstance(bench.admit(ticket("two", (claim,), Amounts(40, 0))), Refused)
    assert bench.state(OLD) == (0, 70)


# --- epochs ---


def test_nothing_is_done_in_another_epoch(valkey_url: str, bench: Bench) -> None:
    bench.server.hset(META, "epoch", "2")
    for script in scripts.ALL:
        if script in (scripts.EPOCH, scripts.BREAKERS, scripts.PROBE, scripts.END_PROBE):  # breakers are no counters
            continue
        before = bench.server.dbsize()
        reply = bench.wait(ask(bench.store.client, script.sha, "1", *("x",) * 20))
        assert reply[0] == b"EPOCH"
        assert reply[3] == b"2"
        assert bench.server.dbsize() == before


async def ask(client: Client, sha: bytes, *args: str) -> list[bytes]:
    found: list[bytes] = await client.command("EVALSHA", sha, 1, META, *args)
    return found


def test_the_stores_time_never_goes_back(bench: Bench) -> None:
    """The machine's clock is years ahead of the server's own."""
    assert bench.admit(ticket("one", (money("b|a||total", 100),))).at_s == START_S
    assert bench.store.now_s() >= START_S
    assert isinstance(bench.store, ValkeyStore)


# --- what chance finds seldom ---


def test_a_bid_is_clamped_to_the_tightest_room(bench: Bench) -> None:
    """Strict claims by themselves, calibrated ones by themselves and to the strict amount."""
    tight, loose = money("b|tight||total", 50), money("b|loose||total", 70)
    metered = money("b|metered||total", 100)._replace(calibrated=True)
    asked = ticket("one", (loose, tight, metered), Amounts(80, 8))
    (bid,) = asked.bids
    bid = bid._replace(calibrated=Amounts(60, 6), least=Amounts(20, 2))
    granted = bench.admit(asked._replace(bids=(bid,)))
    assert isinstance(granted, Granted)
    assert granted.strict == Amounts(50, 8)
    assert granted.calibrated == Amounts(50, 6)
    assert [bench.state(claim.key) for claim in (tight, loose, metered)] == [(0, 50), (0, 50), (0, 50)]


def test_a_rolling_window_forgets(bench: Bench) -> None:
    claim = money("b|roll||rolling", 100)._replace(bucket_s=10)
    bench.admit(ticket("one", (claim,), Amounts(100, 0)))
    bench.settle("one.1", Amounts(100, 0))
    bench.advance(600.0)
    assert isinstance(bench.admit(ticket("two", (claim,), Amounts(1, 0))), Refused)
    bench.advance(20.0)
    assert isinstance(bench.admit(ticket("three", (claim,), Amounts(100, 0))), Granted)
    assert bench.state(claim.key) == (0, 100)
    assert "b200000000" not in bench.counter(claim.key)


def test_a_closed_runs_carve_goes_back_as_its_attempts_end(bench: Bench) -> None:
    parents = money("b|team||total", 1000)
    root = origin("root")
    run, via = "researcher/one", ("carve:researcher/one")
    bench.open_run(Opening(run, None, "acme", "researcher", NO_LIMITS, 600.0, NanoUsd(100), (parents,), None, root))
    purse = Claim(f"k|{run}", Unit.MONEY, 100, 0, f"run:{run}", calibrated=True)
    for name in ("one", "two"):
        bench.admit(ticket(name, (purse,), Amounts(20, 0))._replace(runs=(run,), via=via))
    assert bench.state(parents.key) == (0, 100)
    bench.close_run(run, "done")
    assert bench.state(parents.key) == (0, 40)
    assert bench.extend("one.1", Amounts(1, 0)) == "gone"
    bench.settle("one.1", Amounts(5, 0))
    assert bench.state(parents.key) == (5, 20)
    bench.settle("two.1", Amounts(30, 0))
    assert bench.state(parents.key) == (35, 0)
    assert bench.events()[-2:] == [b"release", b"settle"]  # the carve is over, then the attempt


def test_closing_a_run_closes_its_sub_runs(bench: Bench) -> None:
    for name, parent in (("a", None), ("b", "researcher/a"), ("c", "researcher/b")):
        bench.open_run(Opening(f"researcher/{name}", parent, "acme", "researcher", NO_LIMITS, 600.0))
    bench.close_run("researcher/a", "done")
    found = [bench.run(f"researcher/{name}") for name in "abc"]
    assert [(run.state, run.reason) for run in found if run] == [("closed", "done")] * 3
    listed = bench.wait(bench.store.runs(state="closed", limit=2))
    assert [run.id for run in listed] == ["researcher/c", "researcher/b"]
