"""A metered stream's money: extended ahead of it while there is some, and what had come when it ended is passed on."""

from __future__ import annotations

import pytest

from gateway.exchange.metered import reader_of
from gateway.ledger.operations import Amounts, Extension
from gateway.store.protocol import StoreUnavailable
from gateway.upstream.transport import Aborted, ConnectionBroken
from tests.gateway.admission.world import BookStore
from tests.gateway.exchange.scene import STOP, Provider, Scene, Steady, begin, chunk

MANY = [chunk()] * 400


class Taken(list[bytes]):
    """A sink that keeps what it gets."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._observe = scene.settlement.observer.observe

    async def take(self, events: list[bytes]) -> None:
        for event in events:
            self._observe(event)
            self.append(event)


class Failing(BookStore):
    """A store that cannot extend anything."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def extend(self, reservation: str, more: Amounts) -> Extension:
        raise self.error


class Burst(Provider):
    """A provider whose whole answer has arrived at once, unread."""

    def arrived(self) -> int:
        return sum(len(piece) for piece in self.pieces if isinstance(piece, bytes))


async def read(scene: Scene) -> tuple[Taken, bytes | None]:
    sink = Taken(scene)
    return sink, await reader_of(scene.delivery, scene.provider).read(scene.provider, sink, 2.0)


async def test_what_is_reserved_grows_ahead_of_the_stream() -> None:
    scene = await begin(Steady(*MANY, STOP, b"data: rest"), metered=True)
    permit = scene.settlement.permit
    assert permit is not None
    before = permit.reserved
    taken, rest = await read(scene)
    assert (len(taken), rest) == (401, b"data: rest")
    assert permit.reserved > before + 200_000, "400 tokens were not expected"
    assert permit.reserved == scene.stage.store.reserved


async def test_it_ends_where_there_is_no_more() -> None:
    scene = await begin(Steady(*MANY, STOP), metered=True)
    scene.take_the_rest()
    taken, rest = await read(scene)
    assert rest is None
    assert scene.provider.aborted
    assert 5 < len(taken) < 100


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("what nobody foresaw")])
async def test_it_ends_in_time_where_nobody_can_tell(error: Exception) -> None:
    scene = await begin(Steady(*MANY, STOP), metered=True, store=Failing(error))
    taken, rest = await read(scene)
    assert rest is None
    assert 5 < len(taken) < 100


async def test_it_ends_at_once_where_its_reservation_is_gone() -> None:
    """Its run was closed, or it was taken for lost."""
    scene = await begin(Steady(*MANY, STOP), metered=True)
    assert scene.settlement.permit is not None
    scene.stage.store.release(scene.settlement.permit.id)
    taken, rest = await read(scene)
    assert rest is None
    assert scene.provider.aborted
    assert len(taken) < 100


async def test_what_had_arrived_when_the_money_ended_is_read() -> None:
    """It was generated, so it is owed."""
    scene = await begin(Burst(*MANY), metered=True)
    scene.take_the_rest()
    taken, _ = await read(scene)
    assert len(taken) == len(MANY)


async def test_but_not_what_comes_after_that() -> None:
    class Late(Burst):
        def arrived(self) -> int:
            return len(chunk()) * 7

    scene = await begin(Late(*MANY), metered=True)
    scene.take_the_rest()
    taken, rest = await read(scene)
    again = await begin(Provider(*MANY), metered=True)
    again.take_the_rest()
    without, _ = await read(again)
    assert rest is None
    assert len(taken) == len(without) + 7


@pytest.mark.parametrize("error", [Aborted("given up", sent=True), ConnectionBroken("lost", sent=True)])
async def test_one_that_breaks_is_broken_unless_it_is_whole(error: Aborted | ConnectionBroken) -> None:
    with pytest.raises(type(error)):
        await read(await begin(Provider(chunk(), error), metered=True))
    taken, rest = await read(await begin(Provider(chunk(), STOP, error), metered=True))
    assert (taken, rest) == ([chunk(), STOP], b"")


async def test_its_first_byte_is_its_first() -> None:
    scene = await begin(Provider(chunk(), STOP), metered=True)
    scene.attempt.first_byte_s = 1.0
    await read(scene)
    assert scene.attempt.first_byte_s == 1.0
    other = await begin(Provider(chunk(), STOP), metered=True)
    await read(other)
    assert other.attempt.first_byte_s is not None
