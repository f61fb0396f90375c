"""Counts a stream's output against the money reserved for it: asks for more ahead of need, or ends the stream. Pure.

What a deployment declares (`routing.catalog.Metering`) is taken at its word: at any moment at most one event and the
read-ahead are generated and not yet seen, and after the connection ends generation goes on for `cancel_s`. So if the
stream is cut off now, everything generated is at most what was **seen + margin**. If it is not, the next moment to
decide comes when the next event, or all that was read ahead, arrives: **step** more tokens. The stream goes on only
while

    input + (seen + step + margin) x rate <= reserved

holds, so that whenever it is cut off, its whole cost was reserved before it was caused. More money is asked for when
the same plus **lookahead** (what is generated while the store answers) does not fit any more.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from routing.catalog import Metering
from routing.money import PICO_PER_NANO, NanoUsd

STORE_S: Final = 0.25
"""How long an extension may take before it is too late."""
EXTENSION_TOKENS: Final = 128
"""How much is asked for at a time, or as much as it looks ahead, if that is more. What a stream holds and will not use
is missing elsewhere; asking is cheap."""
SCANTY_TOKENS: Final = 32
"""After a refusal half of it is asked for, at once, down to this."""
RETRY_TOKENS: Final = 16
"""Then that is asked for each time that so many more tokens were seen: others may have settled."""
PATIENCE_TOKENS: Final = 128
"""A stream asks at least so many tokens ahead of its end: time for some tries."""

END: Final = NanoUsd(-1)
"""`Meter.count`: end the stream now."""
GO_ON: Final = NanoUsd(0)


class Terms(NamedTuple):
    """What a stream costs. Money is in nano-USD."""

    input_money: NanoUsd
    """Everything but the output: the input as reserved, and the fee."""
    output_rate: int
    """Pico-USD a token."""
    most: NanoUsd
    """The strict bound: no more than this can become due."""
    answers: int = 1


def opening_tokens(metering: Metering, answers: int = 1) -> int:
    """Output tokens of all answers together that must be paid for before a metered stream may begin."""
    return (_step(metering) + metering.margin_tokens) * answers


def _step(metering: Metering) -> int:
    return metering.tokens_per_event + metering.read_ahead_tokens


def _lookahead(metering: Metering) -> int:
    return max(PATIENCE_TOKENS, math.ceil(metering.tokens_per_s * STORE_S))


class Meter:
    """Watches one stream."""

    __slots__ = (
        "_ask_tokens",
        "_asked",
        "_asks_at",
        "_burst",
        "_ends_at",
        "_extension",
        "_lookahead",
        "_margin",
        "_step",
        "_terms",
        "reserved",
        "seen",
    )

    def __init__(self, metering: Metering, terms: Terms, reserved: NanoUsd) -> None:
        """`reserved` is what was granted for all of the attempt."""
        self._terms = terms
        self._step = _step(metering) * terms.answers
        self._margin = metering.margin_tokens * terms.answers
        self._lookahead = _lookahead(metering) * terms.answers
        # What may be counted at once: all that was held back, one token an event, and some delay of our own.
        self._burst = self._step * metering.tokens_per_event + self._margin // 2
        self._asked = False
        self._ask_tokens = self._extension = max(EXTENSION_TOKENS, self._lookahead)
        self._asks_at: float = 0
        self._ends_at: float = 0
        self.seen = 0
        """Output tokens counted so far."""
        self.reserved = reserved
        """Nano-USD, extensions included."""
        self._plan()

    def count(self, tokens: int) -> NanoUsd:
        """Take note that `tokens` output tokens were seen so far, in all.

        Gives `GO_ON`; or money to extend the reservation by, whose outcome must be told by `extended` or `refused` (in
        the meantime nothing more is asked for); or `END`.
        """
        self.seen = tokens
        if tokens <= self._asks_at:
            return GO_ON
        if tokens > self._ends_at:
            return END
        if self._asked:
            return GO_ON
        self._asked = True
        return self._wanted()

    def _wanted(self) -> NanoUsd:
        money = -(-self._ask_tokens * self._terms.output_rate // PICO_PER_NANO)
        return NanoUsd(min(money, self._terms.most - self.reserved))

    def extended(self, money: NanoUsd) -> None:
        """The reservation is larger by so much."""
        self.reserved = NanoUsd(self.reserved + money)
        self._asked = False
        self._ask_tokens = self._extension
        self._plan()

    def refused(self) -> NanoUsd:
        """There was no room for what was asked. Gives a smaller amount to ask for at once, or `GO_ON`.

        Then the smallest is asked for again a little later, while the stream may go on.
        """
        if self._ask_tokens > SCANTY_TOKENS:
            self._ask_tokens = max(SCANTY_TOKENS, self._ask_tokens // 2)
            return self._wanted()
        self._asked = False
        self._asks_at = min(self._ends_at, max(self._asks_at, self.seen) + RETRY_TOKENS)
        return GO_ON

    def tokens_for(self, money: NanoUsd) -> int:
        """Output tokens that so much money pays for."""
        rate = self._terms.output_rate
        return -(-money * PICO_PER_NANO // rate) if rate else 0

    def _plan(self) -> None:
        """Up to how many tokens nothing has to be done, and up to how many the stream may go on."""
        terms = self._terms
        if self.reserved >= terms.most or terms.output_rate == 0:
            self._asks_at = self._ends_at = math.inf
            return
        self._ends_at = self._tokens_of(self.reserved) - self._step - self._margin
        self._asks_at = self._ends_at - self._lookahead

    @property
    def late(self) -> bool:
        """Whether so many tokens came at once, beyond the stream's end, that the process must have been stopped."""
        return self.seen > self._ends_at + self._burst

    def spent_tokens(self) -> int:
        """Output tokens that a stream which is cut off now may have generated: never more than were reserved for.

        One that is `late` may have generated more, recorded as an overrun.
        """
        if self.late:
            return self.generated_tokens(0)
        tokens = self.seen + self._margin
        return tokens if self._terms.output_rate == 0 else max(0, min(tokens, self._tokens_of(self.reserved)))

    def generated_tokens(self, by_time: int) -> int:
        """The same, whatever was reserved, of a stream that was not watched: `by_time` each answer can have so many."""
        tokens = max(self.seen, by_time * self._terms.answers) + self._margin
        return tokens if self._terms.output_rate == 0 else max(0, min(tokens, self._tokens_of(self._terms.most)))

    def spent(self) -> NanoUsd:
        """What to charge for a stream that was cut off without its usage; at most `reserved`, but for an overrun."""
        terms = self._terms
        return NanoUsd(terms.input_money - (-self.spent_tokens() * terms.output_rate // PICO_PER_NANO))

    def _tokens_of(self, money: NanoUsd) -> int:
        return (money - self._terms.input_money) * PICO_PER_NANO // self._terms.output_rate
