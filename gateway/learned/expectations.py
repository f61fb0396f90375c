"""What to expect of an agent's next request to a model, from its earlier ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from gateway.learned.known import Pair, State
from gateway.learned.sketch import Scale, Sketch
from routing.money import Usage

OUTPUT_TOKENS: Final = Scale(low=1, high=1e6, growth=1.15, memory=16)
"""A single answer's. Habits that changed are forgotten after some 45 answers."""
TOKENS_PER_BYTE: Final = Scale(low=0.02, high=4, growth=1.05, memory=32)
SCALES: Final = {"output_tokens": OUTPUT_TOKENS, "tokens_per_byte": TOKENS_PER_BYTE}

OUTPUT_SHARE: Final = 0.6
"""Of an agent's answers that are no longer than expected. The others' reservations are extended, which is cheap; what
is reserved and not used is missing elsewhere. More than half, so that one short answer proves nothing."""
PRIOR_OUTPUT_TOKENS: Final = 2_048
PRIOR_TOKENS_PER_BYTE: Final = 1.0
"""The bound itself: see `gateway.pricing.bounds`."""
INPUT_SHARE: Final = 0.98
"""Of texts that have no more tokens per byte than expected. Nothing extends what was reserved for the input."""
KNOWN: Final = 20
"""So many answers of a model, by whichever agents, and it is known: new agents begin with what these were like."""
MODEL_SHARE: Final = 0.99
"""Of a model's answers that are no longer than a new agent's are expected to be."""
EVERYBODY: Final = ""
"""In place of the agent: all of a model's."""

_ALWAYS: Final = 16
_EVERY: Final = 4
"""Quantiles are computed again after each of the first 16 observations, then after every fourth."""


class Expectation(NamedTuple):
    """Quantiles: most requests stay below."""

    output_tokens: int
    """Of one answer."""
    tokens_per_byte: float
    """Input tokens for a byte of the request."""


START: Final = Expectation(PRIOR_OUTPUT_TOKENS, PRIOR_TOKENS_PER_BYTE)


class _Known:
    """What is known of one pair."""

    __slots__ = ("changed", "expectation", "sketches")

    def __init__(self, start: Expectation) -> None:
        self.sketches = {
            "output_tokens": Sketch(OUTPUT_TOKENS, start.output_tokens),
            "tokens_per_byte": Sketch(TOKENS_PER_BYTE, start.tokens_per_byte),
        }
        self.expectation = start
        self.changed = False

    def expect(self, output_share: float, input_share: float) -> Expectation:
        output = self.sketches["output_tokens"].quantile(output_share)
        per_byte = self.sketches["tokens_per_byte"].quantile(input_share)
        return Expectation(
            START.output_tokens if output is None else int(output) + 1,
            START.tokens_per_byte if per_byte is None else min(per_byte, START.tokens_per_byte),
        )


class Expectations:
    """What was learned of all agents and models. Bounded: the pairs that were seen longest ago are forgotten.

    Implements `gateway.learned.known.Known`.
    """

    kinds = tuple(SCALES)

    def __init__(self, output_share: float = OUTPUT_SHARE, max_pairs: int = 4_096) -> None:
        self._output_share = output_share
        self._max_pairs = max_pairs
        self._pairs: dict[Pair, _Known] = {}
        """In the order in which they were last observed."""
        self._forgotten: set[Pair] = set()
        self.changed = False
        """Whether there is something that `changes` has not given out yet."""

    def __len__(self) -> int:
        return len(self._pairs)

    def expect(self, agent: str, model: str) -> Expectation:
        """What most of the agent's requests to the model stay below."""
        known = self._pairs.get((agent, model))
        return known.expectation if known is not None else self._start(model)

    def _start(self, model: str) -> Expectation:
        known = self._pairs.get((EVERYBODY, model))
        return START if known is None else known.expectation

    def observe(
        self, agent: str, model: str, input_bytes: int, usage: Usage, *, truncated: bool, answers: int = 1
    ) -> None:
        """Learn from a whole answer, or several of one request, whose `usage` the provider reported.

        `input_bytes` is the size of the request's texts; 0 where they cannot be told from the rest (images, files).
        `truncated`: the answer was cut at a bound, by whomever.
        """
        for pair in ((agent, model), (EVERYBODY, model)):
            known = self._pairs.pop(pair, None)
            if known is None:
                known = _Known(START if pair[0] == EVERYBODY else self._start(model))
            self._pairs[pair] = known  # now the latest
            output = known.sketches["output_tokens"]
            output.observe(-(-usage.output_tokens // max(1, answers)), at_least=truncated)
            if input_bytes > 0:
                known.sketches["tokens_per_byte"].observe(usage.input_tokens / input_bytes)
            known.changed = True
            if output.count <= _ALWAYS or output.count % _EVERY == 0:
                known.expectation = self._computed(pair, known)
        self.changed = True
        while len(self._pairs) > self._max_pairs:
            oldest = next(iter(self._pairs))
            del self._pairs[oldest]
            self._forgotten.add(oldest)

    def _computed(self, pair: Pair, known: _Known) -> Expectation:
        if pair[0] != EVERYBODY:
            return known.expect(self._output_share, INPUT_SHARE)
        if known.sketches["output_tokens"].count < KNOWN:
            return START
        return known.expect(MODEL_SHARE, MODEL_SHARE)

    def changes(self) -> tuple[list[State], list[Pair]]:
        """What has changed since the last call, as (kind, pair, packed sketch), and the pairs that were forgotten."""
        changed = []
        for pair, known in self._pairs.items():
            if known.changed:
                known.changed = False
                changed += [(kind, pair, sketch.encode()) for kind, sketch in known.sketches.items()]
        forgotten = [pair for pair in self._forgotten if pair not in self._pairs]
        self._forgotten.clear()
        self.changed = False
        return changed, forgotten

    def unsaved(self, changed: Iterable[State], forgotten: Iterable[Pair]) -> None:
        """Take back what `changes` gave out: it could not be saved and has to be tried again."""
        for _, pair, _ in changed:
            if (known := self._pairs.get(pair)) is not None:
                known.changed = True
        self._forgotten.update(forgotten)
        self.changed = True

    def restore(self, kept: Iterable[State]) -> None:
        """Take over what was saved, the longest ago first. What cannot be read is learned again."""
        for kind, pair, packed in kept:
            scale = SCALES.get(kind)
            sketch = Sketch.decode(scale, packed) if scale is not None else None
            if sketch is None:
                continue
            known = self._pairs.get(pair)
            if known is None:
                known = self._pairs[pair] = _Known(START)
            known.sketches[kind] = sketch
        for pair, known in self._pairs.items():
            known.expectation = self._computed(pair, known)

    def pairs(self) -> Iterator[Pair]:
        """All that is known, the longest unobserved first."""
        return iter(self._pairs)
