"""A distribution in a few hundred bytes: a log-spaced histogram that forgets exponentially. Pure."""

from __future__ import annotations

import math
from typing import Final

import msgspec

VERSION: Final = 1
"""Of the encoded form. Bytes of another version are not read: what they held is learned again."""

_LIGHTEST: Final = 1e-3
"""A bucket that weighs less than so many new observations is dropped."""
_HEAVIEST: Final = 1e6
"""The unit of weight grows instead of all weights shrinking, until it is this heavy."""


class Scale:
    """How a quantity is kept: its buckets, and how long it is remembered."""

    __slots__ = ("_low", "_step", "buckets", "gain", "memory")

    def __init__(self, low: float, high: float, growth: float, memory: int) -> None:
        """The first bucket is `low` and all below, the last is `high` and all above; each ends `growth` times higher.

        The weight of an observation has fallen to a third (1/e) after `memory` more.
        """
        self._low = low
        self._step = math.log(growth)
        self.buckets = math.ceil(math.log(high / low) / self._step) + 1
        """How many there are."""
        self.memory = memory
        self.gain = memory / (memory - 1)
        """How much more each observation weighs than the one before it."""

    def bucket(self, value: float) -> int:
        """The bucket of `value`."""
        if value <= self._low:
            return 0
        return min(self.buckets - 1, math.ceil(math.log(value / self._low) / self._step - 1e-9))

    def top(self, bucket: int) -> float:
        """The largest value of a bucket."""
        return self._low * math.exp(bucket * self._step)


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    version: int
    count: int
    weights: dict[int, float]


_encode = msgspec.msgpack.encode
_decoder = msgspec.msgpack.Decoder(_Packed)


class Sketch:
    """What was observed of one quantity."""

    __slots__ = ("_scale", "_unit", "_weights", "count")

    def __init__(self, scale: Scale, prior: float | None = None) -> None:
        """`prior` counts as one observation, made before all others."""
        self._scale = scale
        self._unit = 1.0
        self._weights: dict[int, float] = {} if prior is None else {scale.bucket(prior): 1.0}
        self.count = 0
        """Observations so far, the prior not among them."""

    def observe(self, value: float, *, at_least: bool = False) -> None:
        """Take note of a value. `at_least`: of one that would have been larger had it not been cut off.

        Such a one counts where the larger ones that are known lie, in proportion to them (redistribution to the right,
        Efron 1967), so that answers that were cut do not teach that answers are short. Where none is known it counts
        as double its length.
        """
        scale, weights = self._scale, self._weights
        self.count += 1
        self._unit *= scale.gain
        if self._unit > _HEAVIEST:
            self._normalise()
        bucket = scale.bucket(value)
        if at_least:
            above = [each for each in weights if each > bucket]
            if above:
                share = self._unit / sum(weights[each] for each in above)
                for each in above:
                    weights[each] += weights[each] * share
                return
            bucket = scale.bucket(2 * value)
        weights[bucket] = weights.get(bucket, 0.0) + self._unit

    def quantile(self, share: float) -> float | None:
        """The top of the first bucket up to which at least `share` of the weight lies; None when nothing is known."""
        weights = self._weights
        missing = (1 - share) * sum(weights.values())
        found = None
        for bucket in sorted(weights, reverse=True):
            if found is not None and missing < 0:
                break
            found = bucket
            missing -= weights[bucket]
        return None if found is None else self._scale.top(found)

    def _normalise(self) -> None:
        unit = self._unit
        self._weights = {
            bucket: weight / unit for bucket, weight in self._weights.items() if weight >= _LIGHTEST * unit
        }
        self._unit = 1.0

    def encode(self) -> bytes:
        """The sketch as bytes, for `decode`."""
        self._normalise()
        return _encode(_Packed(VERSION, self.count, self._weights))

    @classmethod
    def decode(cls, scale: Scale, packed: bytes) -> Sketch | None:
        """The sketch that was encoded; None for bytes of another version, of another scale, or of something else."""
        try:
            found = _decoder.decode(packed)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        weights = found.weights.items()
        if found.version != VERSION or found.count < 0:
            return None
        if not all(0 <= bucket < scale.buckets and 0 < weight <= 2 * scale.memory for bucket, weight in weights):
            return None
        sketch = cls(scale)
        sketch._weights = found.weights
        sketch.count = found.count
        return sketch
