"""What an admitted attempt may spend, and the way back to the store."""

from __future__ import annotations

from typing import Protocol

from gateway.ledger.operations import Amounts, Extension, Granted
from gateway.telemetry.events import ChargePosted
from routing.catalog import Deployment
from routing.money import NanoUsd


class Books(Protocol):
    """The part of a store that an attempt under way needs."""

    async def extend(self, reservation: str, more: Amounts) -> Extension:
        """Add to the calibrated claims of a pending reservation."""
        ...

    def settle(self, reservation: str, spent: Amounts, charge: ChargePosted) -> None:
        """Post what was spent and give the rest back."""
        ...

    def release(self, reservation: str, charge: ChargePosted | None = None) -> None:
        """Give everything back."""
        ...


class Permit:
    """One attempt's reservation, pending until it is settled or released."""

    __slots__ = (
        "_books",
        "calibrated",
        "clamped",
        "deployment",
        "granted",
        "headers",
        "id",
        "max_output_tokens",
        "reserved",
        "run_path",
        "strict_tokens",
    )

    def __init__(self, books: Books, reservation: str, deployment: Deployment, granted: Granted) -> None:
        self._books = books
        self.id = reservation
        self.deployment = deployment
        """The candidate that fitted."""
        self.granted = granted
        self.calibrated = False
        """Whether a claim of it is calibrated: the stream then is to be metered."""
        self.reserved: NanoUsd = NanoUsd(granted.strict.money)
        """The most it may cost: what its tightest claims hold."""
        self.max_output_tokens: int | None = None
        """The bound to write into the request; None leaves the client's own."""
        self.clamped = False
        """Whether that bound is lower than the client asked for, for want of money."""
        self.run_path = ""
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        """For the answer: what is left, and what was shortened."""

    @property
    def window_at_s(self) -> float:
        """The moment whose windows its charge counts in."""
        return self.granted.at_s

    async def extend(self, more: Amounts) -> Extension:
        """Reserve more for a metered stream. Raises StoreUnavailable."""
        answer = await self._books.extend(self.id, more)
        if answer == "extended":
            self.reserved = NanoUsd(self.reserved + more.money)
        return answer

    def settle(self, charge: ChargePosted) -> None:
        """The attempt is over: post its charge, or give all of it back."""
        if charge.resolution == "released":
            self._books.release(self.id, charge)
        else:
            tokens = charge.usage.input_tokens + charge.usage.output_tokens
            self._books.settle(self.id, Amounts(charge.cost_nano_usd, tokens), charge)
