"""An event loop without a world: no sockets, no threads, and a clock that jumps to whatever comes next.

An hour of timers takes as long as their callbacks do, and the same callbacks run in the same order every time.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import base_events
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

WALL_START_S: Final = 1_796_000_000.0
"""2026-11-30, 00:53:20 UTC."""
MONOTONIC_START_S: Final = 5_000.0

_T = TypeVar("_T")


class _Nothing:
    """What the loop takes for its selector: instead of waiting, time passes."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing is left that could happen")
        self._loop.now_s += timeout
        return []


class VirtualLoop(base_events.BaseEventLoop):
    """asyncio's own loop, on virtual time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = MONOTONIC_START_S
        self._selector = _Nothing(self)

    def time(self) -> float:
        """The monotonic clock, in seconds."""
        return self.now_s

    def wall(self) -> float:
        """The wall clock, in seconds."""
        return WALL_START_S + self.now_s - MONOTONIC_START_S

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass  # nobody sleeps who could be woken

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]  # never
        raise RuntimeError(f"a thread in a simulation would run in no order: {func}")


@contextmanager
def _clocks_of(loop: VirtualLoop) -> Iterator[None]:
    """Let `time.time` and `time.monotonic` tell the loop's time: who measures a latency must not measure us."""
    real = time.time, time.monotonic
    time.time, time.monotonic = loop.wall, loop.time
    try:
        yield
    finally:
        time.time, time.monotonic = real


def run_virtual(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end on a loop of its own."""
    loop = VirtualLoop()
    with _clocks_of(loop), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
