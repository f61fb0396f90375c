"""What the APIs beside chat have in common: generations of pieces that are no text, answers written by a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.simulator.answer import Choice, Piece
from gateway.simulator.delivery import Delivery
from gateway.simulator.engine import Draft, Engine, Request
from gateway.simulator.faults import Fault
from gateway.simulator.fields import Body, Options
from gateway.simulator.generation import CacheUse, Generation
from gateway.simulator.pace import pieces_due
from gateway.simulator.typed import Event


class Making(NamedTuple):
    """What is made for one request."""

    endpoint: str
    prompt_tokens: int = 0
    pieces: tuple[int, ...] = ()
    """Tokens of each piece of the answer."""
    services: Mapping[str, int] = {}
    stream: bool = False


def begin(engine: Engine, request: Request, making: Making) -> Generation:
    """Begin to make it; the generation must be settled."""
    options = Options(n=1, limit=None, stop=(), stream=making.stream, include_usage=True, service_tier="default")
    pieces = tuple(Piece(tokens, {"content": ""}) for tokens in making.pieces)
    return engine.begin(
        request,
        Draft(
            making.endpoint,
            options,
            [[0] * making.prompt_tokens],
            [Choice(pieces, "stop", None)],
            engine.seed_of(request),
            CacheUse(),
            dict(making.services),
        ),
    )


class PlainWire:
    """An answer in one piece."""

    def __init__(self, write: Callable[[Body | None], Any], content_type: bytes = b"application/json") -> None:
        """`write` is given the usage, as chat has it, or None where it is not to be told."""
        self._write = write
        self.content_type = content_type

    def body(self, choices: list[Choice], usage: Body | None) -> bytes:
        """The answer's body."""
        written = self._write(usage)
        return written if isinstance(written, bytes) else msgspec.json.encode(written)


class EventWire:
    """An answer in typed events: one for each piece, and a last one."""

    def __init__(self, piece: Callable[[int], Body], last: Callable[[Body | None], Body], of: Generation) -> None:
        self._piece = piece
        self._last = last
        self._generation = of
        self._said = 0

    def body(self, choices: list[Choice], usage: Body | None) -> bytes:
        """The last event's data, for a client that wants no stream."""
        return msgspec.json.encode(self._last(usage))

    def opening(self) -> list[Event]:
        """Nothing comes before the content."""
        return []

    def piece(self, piece: Piece) -> list[Event]:
        """A piece's event."""
        said, self._said = self._said, self._said + 1
        return [_event(self._piece(said))]

    def closing(self) -> list[Event]:
        """Nothing of its own ends the content."""
        return []

    def usage(self, *, told: bool) -> list[Event]:
        """The last event."""
        return [_event(self._last(self._generation.usage() if told else None))]

    def failure(self, fault: Fault) -> list[Event]:
        """An error inside the stream."""
        return [_event({"type": "error", "error": {"type": "server_error", "message": "It failed.", "code": None}})]


def _event(data: Body) -> Event:
    return Event(str(data["type"]).encode(), msgspec.json.encode(data))


class BytesWire(PlainWire):
    """An answer of bytes, sent as they are made."""

    def __init__(self, piece: Callable[[int], bytes], content_type: bytes) -> None:
        super().__init__(lambda usage: b"", content_type)
        self.piece = piece


class BytesDelivery(Delivery):
    """One generation, sent as bytes while it is made."""

    async def run_of(self, wire: BytesWire) -> None:
        """Send all of it, or as much as the client takes."""
        generation, conversation = self.generation, self.conversation
        conversation.watch()
        headers = [(b"content-type", wire.content_type), *self.headers]
        for at, _ in enumerate(generation.flow):
            if not await self.until(generation.due[at]):
                generation.made = min(pieces_due(generation.due, self.elapsed_s), len(generation.flow))
                await self.client_left()
                return
            generation.made = at + 1
            if not conversation.started:
                await conversation.start(200, headers)
            if self.breaking is not None and self.breaking.name == "cut" and at:
                generation.outcome = "cut"
                await conversation.reset()
                return
            await conversation.write(wire.piece(at))
        await conversation.finish()
