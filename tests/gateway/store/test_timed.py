"""A store's time, taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.store.protocol import StoreUnavailable
from gateway.store.timed import TimedStore
from tests.gateway.store.memory_world import World


class Away:
    """A store that is not there. What is not called need not be."""

    def __getattr__(self, name: str) -> object:
        async def fail(*_arguments: object) -> None:
            raise StoreUnavailable("away")

        return fail


async def test_what_is_passed_on_and_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.start()
    timed = TimedStore(world.store, lambda: True)
    assert await timed.counters() == await world.store.counters()
    assert await timed.run("researcher/none") is None
    assert timed.now_s() == world.store.now_s()
    families = dict(timed.copy())
    assert families["store_up"] == [((), True)]
    assert {key: sum(value.counts) for key, value in families["store_operation_seconds"]} == {  # type: ignore[union-attr]
        ("admit",): 0,
        ("extend",): 0,
        ("open_run",): 0,
        ("run",): 1,
        ("change_run",): 0,
        ("counters",): 1,
    }
    await world.stop()


async def test_errors_are_counted_and_no_time() -> None:
    timed = TimedStore(Away(), lambda: False)  # type: ignore[arg-type]
    calls = [timed.admit(None), timed.extend("r", None), timed.pause_run("r", ""), timed.close_run("r", "")]  # type: ignore[arg-type]
    for call in calls:
        with pytest.raises(StoreUnavailable):
            await call
    families = dict(timed.copy())
    assert dict(families["store_errors_total"]) == {  # type: ignore[arg-type]
        ("admit",): 1,
        ("extend",): 1,
        ("open_run",): 0,
        ("run",): 0,
        ("change_run",): 2,
        ("counters",): 0,
    }
    assert families["store_up"] == [((), False)]
    assert all(sum(value.counts) == 0 for _, value in families["store_operation_seconds"])  # type: ignore[union-attr]
