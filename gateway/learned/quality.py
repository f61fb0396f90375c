"""How good models are for agents, learned from what is said of their answers. Pure.

`routing.quality` holds the records. Here they are fed: by clients (`POST /v1/feedback`, a whole outcome each) and by
weak labels, which count for less. A record forgets: where it has `MEMORY` outcomes, half of each counts from then on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from gateway.learned.known import Pair, State
from routing.quality import SIGNALS, Quality, Record, Signals

KIND: Final = "quality"
VERSION: Final = 1
MEMORY: Final = 2_000.0
MAX_PAIRS: Final = 4_096
REMEMBERED: Final = 10_000
"""Requests whose signals are kept until somebody judges their answers; others count as the agent's usual ones."""

Label = Literal["form", "retry"]
WEIGHTS: Final[dict[Label, float]] = {"form": 0.2, "retry": 0.1}
"""What a weak label counts beside a client's word. `form`: an answer that has, or lacks, the form that was asked for;
`retry`: the same request again in the same run or session, though it was answered."""


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
    """Feeds `quality`. Implements `gateway.learned.known.Known`."""

    kinds = (KIND,)

    def __init__(self, quality: Quality | None = None) -> None:
        self.quality = quality if quality is not None else Quality()
        self._latest: OrderedDict[Pair, None] = OrderedDict()
        """In the order in which they were last learned of."""
        self._changed: set[Pair] = set()
        self._forgotten: set[Pair] = set()
        self._signals: OrderedDict[str, Signals] = OrderedDict()

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

    @property
    def changed(self) -> bool:
        """Whether there is something that `changes` has not given out yet."""
        return bool(self._changed or self._forgotten)

    def changes(self) -> tuple[list[State], list[Pair]]:
        """What has changed since the last call, as (kind, pair, packed record), and the pairs that were forgotten."""
        found = [(pair, self.quality.record(*pair)) for pair in sorted(self._changed)]
        changed = [(KIND, pair, pack(record)) for pair, record in found if record is not None]
        forgotten = sorted(self._forgotten)
        self._changed.clear()
        self._forgotten.clear()
        return changed, forgotten

    def unsaved(self, changed: Iterable[State], forgotten: Iterable[Pair]) -> None:
        """Take back what `changes` gave out: it could not be saved and has to be tried again."""
        self._changed |= {pair for _, pair, _ in changed if self.quality.record(*pair) is not None}
        self._forgotten |= set(forgotten) - self._latest.keys()

    def restore(self, kept: Iterable[State]) -> None:
        """Take over what was saved, the longest ago first. What cannot be read is learned again."""
        for _, pair, state in kept:
            record = unpack(state)
            if record is not None:
                self.quality.restore(*pair, record)
                self._latest[pair] = None
