"""How good models are for agents, learned from what is said of their answers and kept across restarts.

`routing.quality` holds the records. Here they are fed: by clients (`POST /v1/feedback`, a whole outcome each) and by
weak labels, which count for less. A record forgets: where it has `MEMORY` outcomes, half of each counts from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, insert, select

from gateway.journal.database import JournalError
from gateway.journal.engine import AsyncEngine
from gateway.journal.rows import to_us
from gateway.journal.sessions import reading, writing
from gateway.journal.tables import learned
from routing.quality import SIGNALS, Quality, Record, Signals

log = logging.getLogger("farebox.learned")

KIND: Final = "quality"
VERSION: Final = 1
MEMORY: Final = 2_000.0
SAVE_EVERY_S: Final = 30.0
MAX_PAIRS: Final = 4_096
REMEMBERED: Final = 10_000
"""Requests whose signals are kept until somebody judges their answers; others count as the agent's usual ones."""

Label = Literal["form", "retry"]
WEIGHTS: Final[dict[Label, float]] = {"form": 0.2, "retry": 0.1}
"""What a weak label counts beside a client's word. `form`: an answer that has, or lacks, the form that was asked for;
`retry`: the same request again in the same run or session, though it was answered."""

Pair = tuple[str, str]
"""Agent and model."""


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    version: int
    count: float
    scores: float
    signals: list[float]
    products: list[float]
    cross: list[float]


_encode = msgspec.msgpack.encode
_decoder = msgspec.msgpack.Decoder(_Packed)


def pack(record: Record) -> bytes:
    """A record as bytes."""
    return _encode(_Packed(VERSION, record.count, record.scores, record.signals, record.products, record.cross))


def unpack(state: bytes) -> Record | None:
    """The record that was packed; None for bytes of another version, or of something else."""
    try:
        found = _decoder.decode(state)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    sizes = (len(found.signals), len(found.products), len(found.cross))
    if found.version != VERSION or sizes != (SIGNALS, SIGNALS * (SIGNALS + 1) // 2, SIGNALS):
        return None
    if not 0 <= found.scores <= found.count:
        return None
    record = Record()
    record.count, record.scores = found.count, found.scores
    record.signals, record.products, record.cross = found.signals, found.products, found.cross
    return record


class Heard(NamedTuple):
    """What a client said of an answer."""

    agent: str
    model: str
    request_id: str
    score: float
    before: float | None
    """What it had said before; None: nothing."""


class LearnedQuality:
    """Feeds `quality`, and keeps it in the journal's table `learned`."""

    def __init__(
        self,
        engine: AsyncEngine,
        quality: Quality | None = None,
        now: Callable[[], float] = time.time,
        save_every_s: float = SAVE_EVERY_S,
    ) -> None:
        self.quality = quality if quality is not None else Quality()
        self._engine = engine
        self._now = now
        self._save_every_s = save_every_s
        self._latest: OrderedDict[Pair, None] = OrderedDict()
        """In the order in which they were last learned of."""
        self._changed: set[Pair] = set()
        self._forgotten: set[Pair] = set()
        self._signals: OrderedDict[str, Signals] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def remember(self, request_id: str, signals: Signals) -> None:
        """Keep a request's signals for when its answer is judged."""
        self._signals[request_id] = signals
        while len(self._signals) > REMEMBERED:
            self._signals.popitem(last=False)

    def hear(self, heard: Heard) -> None:
        """Learn from a client's word. A later word on the same answer replaces the earlier one."""
        pair = (heard.agent, heard.model)
        signals = self._signals_of(heard.request_id, pair)
        if heard.before is None:
            self._learn(pair, signals, heard.score, 1.0)
        elif heard.before != heard.score:
            self.quality.amend(*pair, signals, heard.score - heard.before)
            self._touch(pair)

    def label(self, agent: str, model: str, request_id: str, label: Label, score: float) -> None:
        """Learn from a weak label: `score` 0 or 1."""
        pair = (agent, model)
        self._learn(pair, self._signals_of(request_id, pair), score, WEIGHTS[label])

    def _signals_of(self, request_id: str, pair: Pair) -> Signals:
        known = self._signals.get(request_id)
        if known is not None:
            return known
        record = self.quality.record(*pair)
        return [0.0] * SIGNALS if record is None else record.usual

    def _learn(self, pair: Pair, signals: Signals, score: float, weight: float) -> None:
        self.quality.learn(*pair, signals, score, weight)
        if self.quality.outcomes(*pair) >= MEMORY:
            self.quality.fade(*pair, 0.5)
        self._touch(pair)

    def _touch(self, pair: Pair) -> None:
        if self.quality.record(*pair) is None:
            return
        self._changed.add(pair)
        self._forgotten.discard(pair)
        self._latest[pair] = None
        self._latest.move_to_end(pair)
        while len(self._latest) > MAX_PAIRS:
            oldest, _ = self._latest.popitem(last=False)
            self.quality.forget(*oldest)
            self._changed.discard(oldest)
            self._forgotten.add(oldest)

    # --- across restarts ---

    async def load(self) -> None:
        """Take over what earlier processes learned. Raises JournalError."""
        rows = select(learned.c.agent, learned.c.model, learned.c.state).where(learned.c.kind == KIND)
        async with reading(self._engine) as connection:
            found = (await connection.execute(rows.order_by(learned.c.updated_at_us))).all()
        for agent, model, state in found:
            record = unpack(state)
            if record is not None:
                self.quality.restore(agent, model, record)
                self._latest[agent, model] = None

    def start(self) -> None:
        """Save from now on, every half minute in which something was learned."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="quality")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._save_every_s)
            with contextlib.suppress(JournalError):  # logged where it is raised
                await self.save()

    async def save(self) -> None:
        """Write what has changed. Raises JournalError, and will write it the next time."""
        if not self._changed and not self._forgotten:
            return
        changed, forgotten = self._changed, self._forgotten
        self._changed, self._forgotten = set(), set()
        try:
            await self._write(changed, forgotten)
        except JournalError as error:
            self._changed |= {pair for pair in changed if self.quality.record(*pair) is not None}
            self._forgotten |= forgotten - self._latest.keys()
            log.warning("what was learned of models could not be saved: %s", error)
            raise

    async def _write(self, changed: Iterable[Pair], forgotten: Iterable[Pair]) -> None:
        at_us = to_us(self._now())
        rows = [
            {"kind": KIND, "agent": pair[0], "model": pair[1], "state": pack(record), "updated_at_us": at_us}
            for pair in sorted(changed)
            if (record := self.quality.record(*pair)) is not None
        ]
        stale = [{"a": agent, "m": model} for agent, model in sorted({*changed, *forgotten})]
        of_pair = delete(learned).where(
            learned.c.kind == KIND, learned.c.agent == bindparam("a"), learned.c.model == bindparam("m")
        )
        async with writing(self._engine) as connection:
            await connection.execute(of_pair, stale)
            if rows:
                await connection.execute(insert(learned), rows)

    async def close(self) -> None:
        """Save for the last time. A failure is logged only."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        with contextlib.suppress(JournalError):
            await self.save()
