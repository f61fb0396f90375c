"""The servers that gateways share are killed, emptied, stopped and started again: it mends itself, nobody overspends.

Everything is a process of its own; the provider's bill judges.
"""

from __future__ import annotations

import random
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.callers import Crowd, Seen, call, each_its_own, key_of
from tests.integration.processes import Gateway, Provider
from tests.integration.shared import Counters, Fleet, served, until_it_is
from tests.servers import DATABASE, PASSWORD, Postgres

UNAVAILABLE = (503, "budget_store_unavailable")


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    provider = Provider(tmp_path)
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture
async def fleet(
    tmp_path: Path, provider: Provider, postgres_server: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Fleet]:
    counters = Counters(tmp_path)
    monkeypatch.setenv("VALKEY_URL", counters.url)
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    fleet = Fleet(tmp_path, provider, postgres_server, counters)
    yield fleet
    await fleet.stop()
    counters.kill()


async def refused(gateway: Gateway) -> None:
    """A request that has to know what is spent is told that nobody does."""
    seen = await call(gateway.url, max_tokens=20)
    assert (seen.status, seen.code) == UNAVAILABLE, seen


async def lose_everything(fleet: Fleet, seed: int, losses: Sequence[str]) -> None:
    """Valkey loses all that it had while two crowds call; the gateways make up one epoch, together."""
    dice = random.Random(seed)
    async with AsyncExitStack() as stack:
        crowds = await fleet.crowds(stack)
        for how in losses:
            for crowd in crowds:
                await crowd.pieces_more(dice.randrange(30, 200))
            epoch = await fleet.well()
            if how == "killed":
                fleet.counters.kill()
                await fleet.state(lambda state: state["store"] == "unavailable" and bool(state["store_error"]))
                for gateway in fleet.gateways:
                    await refused(gateway)
                fleet.counters.start()
            else:
                with fleet.counters.client() as client:
                    client.flushall()
            after = await fleet.well(epoch)
            await fleet.never_less()
            assert fleet.rows("SELECT epoch, ready FROM stores") == [{"epoch": after, "ready": True}]
        for crowd in crowds:
            await crowd.pieces_more(50)
    _, resolutions = await fleet.judged(served(*crowds))
    assert resolutions["settled"]
    assert not resolutions["orphaned"], "all gateways lived on"


async def test_valkey_loses_everything_under_load(fleet: Fleet) -> None:
    await fleet.start("0.05", storage={"gateway_timeout_s": 60})
    await lose_everything(fleet, 1, ("killed", "emptied"))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 6))
async def test_valkey_loses_everything_again_and_again(fleet: Fleet, seed: int) -> None:
    await fleet.start("0.2", storage={"gateway_timeout_s": 60})
    await lose_everything(fleet, seed, random.Random(seed).choices(("killed", "emptied"), k=6))


@pytest.mark.long
async def test_valkey_is_emptied_when_a_gateway_has_just_been_killed(fleet: Fleet) -> None:
    """The rebuild waits until the killed one is given up, and charges what it had under way in full."""
    await fleet.start("0.05")
    first, second = fleet.gateways
    async with AsyncExitStack() as stack:
        crowds = await fleet.crowds(stack)
        for crowd in crowds:
            await crowd.pieces_more(100)
        crowds[0].up.clear()
        epoch = await fleet.well()
        await first.kill()
        await fleet.drained()  # what neither the journal nor a gateway nor Valkey has is lost: nobody promises that
        with fleet.counters.client() as client:
            client.flushall()
        await fleet.state(lambda state: state["store"] == "ok" and state["store_epoch"] > epoch, second)
        await fleet.never_less(second)
        await first.start()
        crowds[0].up.set()
        for crowd in crowds:
            await crowd.pieces_more(30)
    _, resolutions = await fleet.judged(served(*crowds))
    assert resolutions["orphaned"]


OPEN = {"on_store_failure": "open", "allowance_usd": "0.0005"}


def open_and_closed() -> dict[str, Any]:
    """Sections for an agent whose budget goes on without the store, and one whose budget does not."""
    sections = each_its_own({"patient": "0.01", "strict": "0.01"})
    sections["budgets"]["patient"] |= OPEN
    return sections


async def test_valkey_stands_still_for_a_while(fleet: Fleet) -> None:
    """A closed budget refuses, an open one goes on with its allowance and no further; then all is posted."""
    await fleet.start(**open_and_closed())
    first = fleet.gateways[0]

    async def ask(agent: str) -> Seen:
        return await call(first.url, key=key_of(agent), max_tokens=100, fault="length;tokens=100")

    for agent in ("patient", "strict"):
        assert (await ask(agent)).status == 200
    await until_it_is(allowance_of(first))
    fleet.counters.signal(signal.SIGSTOP)
    try:
        answers = [await ask("strict"), await ask("patient")]
        while answers[-1].status == 200:
            answers.append(await ask("patient"))
        assert (answers[0].status, answers[0].code) == UNAVAILABLE
        spent = [seen.status for seen in answers[1:]]
        assert spent[:-1]
        assert set(spent[:-1]) == {200}
        assert answers[-1].code in ("budget_reserved", "budget_exceeded"), answers[-1]
        during = sum(each.cost for each in await fleet.provider.at_rest())
    finally:
        fleet.counters.signal(signal.SIGCONT)
    await fleet.well()
    await until_it_is(answered(first, "strict"))
    await until_it_is(posted(first, "agent:patient", during))
    billed = await fleet.provider.at_rest()

    async def all_in_the_journal() -> bool:
        return len(fleet.charges()) >= len(billed)

    await until_it_is(all_in_the_journal)
    charges = {row["request_id"]: row["cost_nano_usd"] for row in fleet.charges()}
    assert {each.request_id: each.cost for each in billed} == charges
    for gateway in fleet.gateways:
        await gateway.verify()


def allowance_of(gateway: Gateway) -> Any:
    """Asks whether the gateway has set its allowance aside."""

    async def ask() -> bool:
        return (await gateway.budgets())["agent:patient"].reserved == 500_000

    return ask


def answered(gateway: Gateway, agent: str) -> Any:
    """Asks whether an agent is served."""

    async def ask() -> bool:
        return (await call(gateway.url, key=key_of(agent), max_tokens=20)).status == 200

    return ask


def posted(gateway: Gateway, scope: str, least: int) -> Any:
    """Asks whether so much is posted."""

    async def ask() -> bool:
        lines = await gateway.budgets()
        return sum(line.posted for line in lines.values()) >= least and lines[scope].posted > 0

    return ask


async def test_postgresql_is_gone_for_a_while(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres, counters = Postgres.start(), Counters(tmp_path)
    fleet = Fleet(tmp_path, provider, postgres, counters)
    try:
        postgres.run(f"CREATE DATABASE {DATABASE}")
        monkeypatch.setenv("VALKEY_URL", counters.url)
        monkeypatch.setenv("DATABASE_URL", postgres.url(DATABASE))
        await fleet.start("0.2", storage={"max_lag_s": 0.5, "gateway_timeout_s": 60})
        async with AsyncExitStack() as stack:
            crowds = await fleet.crowds(stack)
            await outlives(fleet, crowds, lambda: postgres.stop(signal.SIGQUIT), postgres.resume)
            await outlives(
                fleet, crowds, lambda: postgres.signal(signal.SIGSTOP), lambda: postgres.signal(signal.SIGCONT)
            )
        _, resolutions = await fleet.judged(served(*crowds))
        assert not resolutions["orphaned"]
        for gateway in fleet.gateways:
            assert PASSWORD not in gateway.words()
    finally:
        await fleet.stop()
        counters.kill()
        postgres.destroy()


async def outlives(fleet: Fleet, crowds: Sequence[Crowd], end: Callable[[], None], resume: Callable[[], None]) -> None:
    """PostgreSQL is gone, or silent: soon nothing is admitted; when it is back, everything is."""
    for crowd in crowds:
        await crowd.pieces_more(50)
    end()
    try:
        for gateway in fleet.gateways:
            await until_it_is(stopped(gateway))
        for crowd in crowds:
            crowd.up.clear()
        billed = await fleet.provider.at_rest()
        for gateway in fleet.gateways:
            assert (await call(gateway.url, max_tokens=20)).status == 503
        assert await fleet.provider.at_rest() == billed
    finally:
        resume()
    await fleet.well()
    for gateway, crowd in zip(fleet.gateways, crowds, strict=True):
        await until_it_is(serves(gateway))
        crowd.up.set()
        await crowd.pieces_more(30)


def stopped(gateway: Gateway) -> Any:
    """Asks whether the gateway admits nothing because of its journal."""

    async def ask() -> bool:
        return (await call(gateway.url, max_tokens=20)).status == 503

    return ask


def serves(gateway: Gateway) -> Any:
    """Asks whether the gateway serves."""

    async def ask() -> bool:
        return (await call(gateway.url, max_tokens=20)).status == 200

    return ask


async def test_it_starts_without_valkey_and_says_so_but_not_its_password(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "a-secret-of-valkeys"
    monkeypatch.setenv("VALKEY_URL", f"valkey://:{secret}@127.0.0.1:{fleet.counters.port}/0")
    fleet.counters.kill()
    await fleet.start("0.1", count=1)
    gateway = fleet.gateways[0]
    state = await gateway.ready()
    assert state["store"] == "unavailable"
    assert state["store_error"]
    seen = await call(gateway.url, max_tokens=20)
    assert (seen.status, seen.code) == UNAVAILABLE
    assert secret not in seen.body.decode() + str(state)
    assert "the store is not there yet" in gateway.words()
    fleet.counters.start()  # without a password, so that it refuses ours
    await fleet.state(lambda state: "password" in state["store_error"])
    assert secret not in (await call(gateway.url, max_tokens=20)).body.decode()
    with fleet.counters.client() as client:
        client.config_set("requirepass", secret)
    await fleet.well()
    assert (await call(gateway.url, max_tokens=20)).status == 200
    status = await gateway.admin("status")
    assert (status["store"], status["store_epoch"]) == ("ok", 1)
    assert "store_error" not in status
    for words in (gateway.words(), str(status)):
        assert secret not in words
        assert PASSWORD not in words


FAULTS = ("kill", "empty", "restart", "hang", "silence")
STOPS = ("stop", "stop and empty")


async def strike(fleet: Fleet, crowds: Sequence[Crowd], dice: random.Random, faults: Sequence[str]) -> None:
    """One thing goes wrong, and comes right again."""
    at = dice.randrange(2)
    gateway, crowd, counters = fleet.gateways[at], crowds[at], fleet.counters
    what = dice.choice(faults)
    print(what, at, len(crowds[0].served()), len(crowds[1].served()))
    if what == "kill":
        crowd.up.clear()
        await gateway.kill()
        await crowds[1 - at].pieces_more(dice.randrange(100))
        await gateway.start()
        crowd.up.set()
    elif what in STOPS:
        gateway.signal(signal.SIGSTOP)
        if what == "stop and empty":
            with counters.client() as client:
                client.flushall()
        if dice.random() < 0.5:
            sql = "SELECT 1 FROM charges WHERE resolution = 'orphaned' OFFSET " + str(len(fleet.orphans()))
            await fleet.eventually(sql)
        else:
            await crowds[1 - at].pieces_more(dice.randrange(100))
        gateway.signal(signal.SIGCONT)
    elif what == "empty":
        with counters.client() as client:
            client.flushall()
    elif what == "restart":
        counters.kill()
        await crowd.pieces_more(dice.randrange(30))
        counters.start()
    else:
        server: Counters | Postgres = counters if what == "hang" else fleet.postgres
        server.signal(signal.SIGSTOP)
        try:
            await crowd.pieces_more(dice.randrange(200))
        finally:
            server.signal(signal.SIGCONT)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("limit_usd", "faults"), [("1", FAULTS + STOPS), ("0.01", FAULTS)], ids=["rich", "poor"])
async def test_one_thing_after_the_other(fleet: Fleet, limit_usd: str, faults: Sequence[str], seed: int) -> None:
    """Where gateways are stopped there is money for all: in mid-stream they may overrun what they have reserved."""
    dice = random.Random(seed)
    await fleet.start(limit_usd)
    async with AsyncExitStack() as stack:
        crowds = await fleet.crowds(stack)
        for _ in range(8):
            for crowd in crowds:
                await crowd.pieces_more(dice.randrange(1, 150))
            await fleet.well()
            await fleet.drained()
            await strike(fleet, crowds, dice, faults)
            await fleet.well()
            await fleet.never_less()
    _, resolutions = await fleet.judged(served(*crowds))
    assert resolutions["settled"] > 100
