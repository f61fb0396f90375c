"""How hard a request looks, from its words and its shape: a linear model over capped features and hashed word pairs.

    text, counts  ->  features()  ->  dense features, hashed buckets  ->  Scorer.score()  ->  Complexity

Everything that is read is capped, so that 400 kB cost what 4 kB cost. numpy is imported with the first scorer: a
gateway whose policies read no complexity never loads it. Pure; docs/complexity.md tells what the numbers mean and how
far to trust them.
"""

from __future__ import annotations

import re
from binascii import crc32
from math import exp, log, log1p
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from routing.weights import Weights

HEAD_CHARS: Final = 1_000
"""How much of the last user message's beginning is read."""
TAIL_CHARS: Final = 400
"""How much of its end, where people put the question."""
TIERS: Final = ("light", "medium", "strong")
"""What a model counts for: about 10 billion parameters and less; the small ones of the big houses; the best."""
HEADS: Final = (*TIERS, "gain")
"""What the weights score: each tier's log odds, and by how much a stronger model does better than it usually does."""

_MAX_TOKENS = 480
_TOKEN = re.compile(rb"[a-z\x80-\xff]{1,12}|0{1,6}|[^\sa-z0\x80-\xff]")
"""Words in pieces of 12 bytes, digits by their number, every other sign for itself. Reads at most 1,400 bytes."""
_FOLD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ123456789", b"abcdefghijklmnopqrstuvwxyz000000000")
_PAIR = 2_654_435_761
_SIZE_SCALE, _SIZE_ORIGIN = 1.5, 6.0
"""Puts the size's logarithm on the scale of the log odds."""
_CONSTRAINTS = frozenset(
    b"all at both each every exactly except if least less more most must no not only per than then without".split()
)
_QUESTIONS = frozenset(b"calculate compute determine evaluate explain find how prove simplify solve what why".split())
_CODE = ("def ", "return", "import ", "class ", "for ", "while ", "{", "}", ";", "==", "->", "()", "_", "`")


class ComplexityInput(NamedTuple):
    """What the score is made of. Whoever fills it in keeps the caps; longer texts are cut all the same."""

    text_head: str
    """The beginning of the last user message, at most `HEAD_CHARS`."""
    text_tail: str = ""
    """Its end, at most `TAIL_CHARS`, as far as `text_head` does not hold it already."""
    text_bytes: int = 0
    """Size of the whole message; 0: what the head and the tail have."""
    system_bytes: int = 0
    """Size of the system and developer messages."""
    tools: int = 0
    tools_bytes: int = 0
    """Size of the tools' definitions, with their schemas."""
    turns: int = 1
    """Messages of the conversation that are the user's."""
    max_output_tokens: int | None = None
    """The client's bound on the answer."""


class Complexity(NamedTuple):
    """The score of a request."""

    complexity: float
    """0..1: the probability that a light model does not get it right."""
    p: tuple[float, float, float]
    """The probability that a model of each tier gets it right; never falls from a weaker tier to a stronger one."""
    signals: tuple[float, float, float, float, float]
    """What `routing.quality` corrects an agent's record by: each tier's log odds, the request's size, and what a
    stronger model gains with it, beyond what it gains with its task."""


class Features(NamedTuple):
    """A request as the model sees it."""

    dense: list[float]
    """In the order of `FEATURES`, before scaling."""
    buckets: npt.NDArray[np.uint32]
    """Hashes of words and of pairs of neighbours, 32 bits; repeated ones are there as often as in the text."""


FEATURES: Final = (
    *("chars", "tokens", "token_length", "distinct_tokens", "non_ascii", "upper"),
    *("digits", "digit_share", "questions", "question_words", "constraints", "lines"),
    *("math_signs", "latex", "dollars", "brackets", "commas", "stops", "code", "quotes", "percent"),
)
"""Names of the dense features that were learned, in order."""


def features(request: ComplexityInput) -> Features:
    """Turn a request into numbers. About 60 µs for a text at its cap, whatever the request's size."""
    import numpy as np

    head, tail = request.text_head[:HEAD_CHARS], request.text_tail[-TAIL_CHARS:]
    text = f"{head}\n{tail}" if tail else head
    data = head.encode("utf-8", "replace")[:HEAD_CHARS]
    if tail:
        data += b"\n" + tail.encode("utf-8", "replace")[-TAIL_CHARS:]
    data = data.translate(_FOLD)
    tokens = _TOKEN.findall(data)[:_MAX_TOKENS]
    words = np.fromiter(map(crc32, tokens), np.uint32, len(tokens))
    pairs = (words[:-1] * np.uint32(_PAIR)) ^ words[1:]
    return Features(_dense(request, text, data, tokens), np.concatenate((words, pairs)))


def _dense(request: ComplexityInput, text: str, data: bytes, tokens: list[bytes]) -> list[float]:
    chars = len(text) or 1
    count = text.count
    distinct = set(tokens)
    digits = data.count(b"0")
    code = sum(map(count, _CODE))
    return [
        log1p(max(request.text_bytes, chars)),
        log1p(len(tokens)),
        len(data) / (len(tokens) or 1),
        len(distinct) / (len(tokens) or 1),
        (len(data) - chars) / chars,
        sum(map(str.isupper, text[:200])) / min(chars, 200),
        log1p(digits),
        digits / chars,
        float(min(count("?"), 5)),
        float(min(len(distinct & _QUESTIONS), 5)),
        float(min(len(distinct & _CONSTRAINTS), 8)),
        log1p(count("\n")),
        log1p(sum(map(count, "+-*/=<>^"))),
        log1p(count("\\")),
        log1p(count("$")),
        log1p(count("(") + count("[")),
        log1p(count(",")),
        log1p(count(".")),
        log1p(code),
        log1p(count('"') + count("'")),
        log1p(count("%")),
    ]


def structure_logit(request: ComplexityInput) -> float:
    """What tools, turns, a long system prompt and room for a long answer add to the difficulty, in log odds.

    Set by hand, not learned: no public table that may be shipped has requests with tools or conversations. An agent's
    own record outweighs it, for these hardly differ between the requests of one agent.
    """
    logit = 0.15 * log1p(min(request.tools, 64)) + 0.05 * log1p(min(request.tools_bytes, 65_536) / 1_024)
    logit += 0.1 * log(max(1, min(request.turns, 64))) + 0.03 * log1p(min(request.system_bytes, 65_536) / 1_024)
    if request.max_output_tokens is not None and request.max_output_tokens > 4_096:
        logit += 0.1
    return logit


class Scorer:
    """Scores requests with one set of weights. Not thread-bound; nothing in it changes."""

    __slots__ = ("_bias", "_dense", "_hashed", "_mask")

    def __init__(self, weights: Weights) -> None:
        import numpy as np

        deviation = weights.deviations
        self._dense: npt.NDArray[np.float64] = weights.dense / deviation
        self._bias: npt.NDArray[np.float64] = weights.bias - self._dense @ weights.means
        self._hashed: npt.NDArray[np.float32] = weights.hashed
        self._mask = np.uint32(len(weights.hashed) - 1)

    def score(self, request: ComplexityInput) -> Complexity:
        """The complexity of a request: p50 about 100 µs."""
        import numpy as np

        seen = features(request)
        raw = self._dense @ np.array(seen.dense) + self._bias
        if len(seen.buckets):
            rows = self._hashed[seen.buckets & self._mask]
            raw += np.ones(len(rows), np.float32) @ rows / len(rows) ** 0.5
        harder = structure_logit(request)
        light, medium, strong, gain = raw.tolist()
        size = _SIZE_SCALE * (log1p(request.text_bytes + request.tools_bytes) - _SIZE_ORIGIN)
        signals = (light - harder, medium - harder, strong - harder / 2, size, gain)
        p_light = probability(signals[0])
        p_medium = max(p_light, probability(signals[1]))
        p = (p_light, p_medium, max(p_medium, probability(signals[2])))
        return Complexity(1.0 - p_light, p, signals)


def probability(logit: float) -> float:
    """Log odds as a probability, without overflow."""
    return 1.0 / (1.0 + exp(-logit)) if logit > -500 else 0.0
