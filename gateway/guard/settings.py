"""What the guards look for and what they do, as the configuration compiles to it. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from routing.money import NanoUsd

Action = Literal["off", "observe", "warn", "block", "downgrade"]
"""`observe` counts; `warn` also tells the client by header; `block` refuses and pauses the run; `downgrade` is told to
routing."""


@dataclass(frozen=True, slots=True)
class LoopRule:
    """When repetition counts as a loop."""

    action: Action = "warn"
    window: int = 10
    """How many of the latest tool calls, or of the run's latest requests, are looked at."""
    threshold: int = 3
    """So many identical ones among them are a loop."""


DEFAULT_LOOPS = LoopRule()


@dataclass(frozen=True, slots=True)
class VelocityRule:
    """When a run spends too quickly."""

    limit: NanoUsd
    window_s: int = 60
    action: Action = "block"
