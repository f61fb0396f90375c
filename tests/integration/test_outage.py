"""A gateway that is stopped, has no room on its disk, or cannot write its journal: every call is paid for."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.callers import Seen, call, each_its_own, governed, key_of
from tests.integration.processes import LIMIT_S, Gateway, Provider, judge


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    provider = Provider(tmp_path)
    await provider.start()
    yield provider
    await provider.stop()


async def begun(seen: Seen) -> None:
    """Wait until the first byte of an answer is there."""
    async with asyncio.timeout(LIMIT_S):
        while not seen.body:
            await asyncio.sleep(0.001)


async def generating(provider: Provider, count: int) -> None:
    """Wait until so many generations have begun."""
    async with asyncio.timeout(LIMIT_S):
        while (await provider.state())["open"] < count:
            await asyncio.sleep(0.001)


async def ended(provider: Provider, count: int) -> None:
    """Wait until so many generations have ended."""
    async with asyncio.timeout(LIMIT_S):
        while (await provider.state())["posted"] < count:
            await asyncio.sleep(0.01)


async def refused(gateway: Gateway) -> tuple[Seen, set[str]]:
    """Call until the gateway takes no more: its answer, and the requests that were served until then."""
    served: set[str] = set()
    async with asyncio.timeout(LIMIT_S):
        while (seen := await call(gateway.url, max_tokens=20)).status == 200:
            served.add(seen.request_id)
    return seen, served


async def served_again(gateway: Gateway) -> str:
    """Call until it takes a request again: which."""
    async with asyncio.timeout(LIMIT_S):
        while (seen := await call(gateway.url, max_tokens=20)).status != 200:
            assert seen.status == 503, seen
            await asyncio.sleep(0.05)
    return seen.request_id


PAUSE = "stall-mid;after=50;s=3"
"""All of the streams have begun by then, and each goes on when nobody counts it."""
WHOLE = f"length;tokens=1500,{PAUSE}"
ENDLESS = f"length;tokens=1800,{PAUSE},slow;first_ms=0;token_ms=1"
STOPPED = {
    "whole": ("0.0008", WHOLE),
    "leaving": ("0.0008", WHOLE),
    "endless": ("0.0008", ENDLESS),
    "leaving-endless": ("0.0008", ENDLESS),
    "leaving-rich": ("1", WHOLE),
    "assembled": ("0.0008", WHOLE),
}
"""By agent: its budget, and its fault."""
MOST = 1_400_000
"""Nano-USD: 1,900 tokens of output, 1,000 bytes of input."""
MUCH = 700_000
"""Nearly a whole budget, or more: some are bounded by the provider when the last of their money is reserved."""
PACE = f"length;tokens=1400,{PAUSE},slow;first_ms=0;token_ms=1"
"""Ends when the endless ones have generated at least as much."""


async def test_a_gateway_stopped_in_mid_stream_records_all_that_was_generated_meanwhile(
    provider: Provider, tmp_path: Path
) -> None:
    """Streams end, go on, or lose their clients while nobody counts them; their money is over long before."""
    sections = each_its_own({name: limit for name, (limit, _) in STOPPED.items()})
    gateway = Gateway(tmp_path, governed(provider.url, tmp_path, "1", **sections))
    await gateway.start()
    try:
        calls: dict[str, asyncio.Task[Seen]] = {}
        for name, (_, fault) in STOPPED.items():
            asked = {"model": "metered", "stream": name != "assembled", "max_tokens": 1_900}
            calls[name] = asyncio.create_task(call(gateway.url, fault=fault, key=key_of(name), **asked))
        await generating(provider, len(STOPPED))
        pace = asyncio.create_task(call(provider.url.removesuffix("/v1"), model="sim-small", fault=PACE))
        await generating(provider, len(STOPPED) + 1)
        gateway.signal(signal.SIGSTOP)
        for name, asking in calls.items():
            if name.startswith("leaving"):
                asking.cancel()
        await asyncio.wait((pace,))
        await ended(provider, 5)
        gateway.signal(signal.SIGCONT)
        await asyncio.wait(calls.values())
        lines = await gateway.settled()
        billed = [each for each in await provider.at_rest() if each.request_id]
        await gateway.verify()
        charges = {row["request_id"]: row for row in gateway.rows("charges")}
        assert len(billed) == len(STOPPED)
        for each in billed:
            charge = charges[each.request_id]
            line = lines[f"agent:{charge['agent']}"]
            assert line.posted == charge["cost_nano_usd"] >= each.cost > MUCH, (charge, each)
            assert line.posted <= MOST, "and no more than it can have been"
    finally:
        gateway.signal(signal.SIGCONT)
        await gateway.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "state"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "tmpfs", str(folder)]
    mounted = subprocess.run(options, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a file system can only be mounted by root: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave not a byte; the file to be deleted."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


async def test_a_full_disk_stops_admission_until_there_is_room(provider: Provider, small_disk: Path) -> None:
    """Also for a gateway that dies while it is full."""
    gateway = Gateway(small_disk.parent, governed(provider.url, small_disk.parent, "0.01", storage={"max_lag_s": 60}))
    await gateway.start()
    try:
        first, late = await call(gateway.url, max_tokens=20), Seen()
        fault = "slow;first_ms=0;token_ms=2,length;tokens=300"
        late_call = asyncio.create_task(call(gateway.url, model="metered", stream=True, fault=fault, seen=late))
        await begun(late)
        filler = fill(small_disk)
        refusal, served = await refused(gateway)
        assert (refusal.status, refusal.code) == (503, "budget_store_unavailable")
        await late_call  # ends while nothing can be written
        begun_before = (await provider.state())["posted"]
        assert {(await call(gateway.url)).status for _ in range(3)} == {503}
        assert (await provider.state())["posted"] == begun_before, "nothing is called that is not written down"
        assert (await provider.state())["open"] == 0
        filler.unlink()
        served |= {first.request_id, late.request_id, await served_again(gateway)}
        await gateway.settled()
        await gateway.verify()
        judge(gateway, await provider.at_rest(), served)

        filler = fill(small_disk)
        served |= (await refused(gateway))[1]
        await gateway.kill()
        filler.unlink()
        await gateway.start()
        billed = await provider.at_rest()
        for line in (await gateway.settled()).values():
            assert sum(each.cost for each in billed) <= line.posted <= line.limit
        await gateway.verify()
        judge(gateway, billed, served)
    finally:
        await gateway.kill()


async def test_a_journal_that_cannot_be_written_stops_admission_until_it_can(
    provider: Provider, tmp_path: Path
) -> None:
    """Somebody else holds the database: what happens meanwhile is in the log of reservations, a kill -9 included."""
    gateway = Gateway(tmp_path, governed(provider.url, tmp_path, "0.01", storage={"max_lag_s": 0.3}))
    await gateway.start()
    other = sqlite3.connect(tmp_path / "state" / "journal.db", isolation_level=None)
    try:
        served = {(await call(gateway.url, max_tokens=20)).request_id}
        for kill in (False, True):
            other.execute("BEGIN EXCLUSIVE")
            refusal, more = await refused(gateway)
            assert (refusal.status, refusal.reason) == (503, "journal")
            assert (await gateway.ready())["status"] == "not_ready"
            begun_before = (await provider.state())["posted"]
            assert (await call(gateway.url)).status == 503
            assert (await provider.state())["posted"] == begun_before
            if kill:
                await gateway.kill()
            other.execute("ROLLBACK")
            if kill:
                await gateway.start()
            served |= {*more, await served_again(gateway)}
        billed = await provider.at_rest()
        for line in (await gateway.settled()).values():
            assert sum(each.cost for each in billed) <= line.posted <= line.limit
        await gateway.verify()
        judge(gateway, billed, served)
        assert len(served) > 3, "calls were served while the journal was away"
    finally:
        other.close()
        await gateway.kill()
