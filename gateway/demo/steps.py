"""What a scripted agent can do, and what it gets to see of it. Values only."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Message = dict[str, Any]


BUDGET_SPENT = "402 "
"""Begins the error of a call that its agent's budget has no room for."""


class Labels(NamedTuple):
    """Whom a call is for; empty ones are not sent."""

    run: str = ""
    session: str = ""
    user: str = ""
    tags: str = ""
    """`name=value,name=value`."""


NO_LABELS = Labels()


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat completion."""

    doing: str
    """What the table shows while it runs, at most 24 characters."""
    model: str
    messages: Sequence[Message]
    labels: Labels = NO_LABELS
    stream: bool = False
    tools: Sequence[dict[str, Any]] = ()
    max_tokens: int | None = None
    leave_after: int | None = None
    """Hang up on the stream after so many chunks."""
    wrong_key: bool = False


@dataclass(frozen=True, slots=True)
class Embed:
    """Embeddings."""

    doing: str
    model: str
    texts: Sequence[str]
    labels: Labels = NO_LABELS


@dataclass(frozen=True, slots=True)
class Pause:
    """Time to think, at speed 1."""

    seconds: float


class ToolCall(NamedTuple):
    """A tool that the model wants called."""

    id: str
    name: str
    arguments: str
    """JSON."""


class Seen(NamedTuple):
    """What came of a step."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    error: str = ""
    """Empty when it went well, else status and code: `404 model_not_found`."""


Step = Chat | Embed | Pause
Script = Generator[Step, Seen, None]
"""An agent: yields what it wants to do next and is sent what it saw. Never ends by itself."""
