"""What alerts have been told: once, by whichever gateway is first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.config.snapshot import StorageSettings
from gateway.journal.alerts import KEPT_S, AlertLog, Watched
from gateway.journal.database import Database

CODER = Watched("month", "coder", "2026-11")
WRITER = CODER._replace(value="writer")
NOW_S = 1_796_000_000.0


@pytest.fixture
async def opened(either: StorageSettings) -> AsyncIterator[Database]:
    opened = await Database.open(either)
    yield opened
    await opened.close()


async def test_of_many_gateways_one_tells(opened: Database, either: StorageSettings) -> None:
    other = await Database.open(either)
    logs = [AlertLog(database) for database in (opened, other) * 4]
    told = await asyncio.gather(*(log.enter({CODER: [0.5, 0.8]}) for log in logs))
    await other.close()
    assert sorted(map(len, told)) == [0] * 7 + [1]
    assert await AlertLog(opened).told() == {CODER: 0.8}


async def test_a_higher_share_is_news_and_a_lower_one_never(opened: Database) -> None:
    log = AlertLog(opened)
    assert await log.enter({CODER: [0.5], WRITER: [0.5, 1 / 3 + 0.5]}) == {CODER, WRITER}
    assert await log.enter({CODER: [0.5, 0.8], WRITER: [0.5]}) == {CODER}
    assert await log.enter({WRITER: [0.5, 1 / 3 + 0.5]}) == set()
    assert (await log.told())[CODER] == 0.8


async def test_what_is_forgotten_is_news_again(opened: Database) -> None:
    log = AlertLog(opened)
    await log.enter({CODER: [0.5, 0.8], WRITER: [0.5]})
    await log.forget([CODER])
    assert await log.told() == {WRITER: 0.5}
    assert await log.enter({CODER: [0.5], WRITER: [0.5]}) == {CODER}


async def test_what_is_long_over_goes(opened: Database) -> None:
    await AlertLog(opened, lambda: NOW_S).enter({CODER: [0.5]})
    await AlertLog(opened, lambda: NOW_S + KEPT_S).enter({WRITER: [0.5]})
    assert set(await AlertLog(opened).told()) == {CODER, WRITER}
    await AlertLog(opened, lambda: NOW_S + KEPT_S + 1).enter({WRITER: [0.5]})
    assert set(await AlertLog(opened).told()) == {WRITER}


async def test_an_alert_is_claimed_once_in_its_time(opened: Database, either: StorageSettings) -> None:
    other = await Database.open(either)
    logs = [AlertLog(database) for database in (opened, other) * 4]
    claimed = await asyncio.gather(
        *(log.claim("loop|a", NOW_S + number / 100, 60.0) for number, log in enumerate(logs))
    )
    await other.close()
    assert sum(claimed) == 1
    log = AlertLog(opened)
    assert not await log.claim("loop|a", NOW_S + 59.9, 60.0)
    assert await log.claim("loop|b", NOW_S, 60.0)
    assert await log.claim("loop|a", NOW_S + 60.07, 60.0)
    await log.release("loop|a")
    assert await log.claim("loop|a", NOW_S + 61, 60.0)
    assert not await log.claim("loop|b", NOW_S + 1, 60.0)
