from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from gateway.upstream.pool import Pool


class WarpLoop(asyncio.SelectorEventLoop):
    """Real sockets, and a clock that stands still until a test moves it."""

    now_s = 1000.0

    def time(self) -> float:
        return self.now_s


async def warp(seconds: float) -> None:
    """Let that much time pass at once, and everything happen that is then due."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, WarpLoop)
    loop.now_s += seconds
    for _ in range(20):
        await asyncio.sleep(0)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Modules that set `LOOPS` run on each loop named there; the others on asyncio's."""
    loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop, "warp": WarpLoop}
    return {name: loops[name] for name in getattr(item.module, "LOOPS", ("asyncio",))}


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool()
    try:
        yield made
    finally:
        await made.close()
