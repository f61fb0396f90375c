"""What sending has in common, plain or streamed: the clock, and the client that leaves."""

from __future__ import annotations

import asyncio

from gateway.simulator.conversation import Conversation, HeaderList
from gateway.simulator.faults import Faults
from gateway.simulator.generation import Generation
from gateway.simulator.pace import pieces_due

GARBAGE = b"\x00\xff\xfe<<< not an event >>>\r\n\r\n"
_BREAKING = ("cut", "no-done", "unterminated", "error-event", "bad-json", "garbage")


class Delivery:
    """One generation on its way to its client. The generation keeps what was made and what became of it."""

    def __init__(self, conversation: Conversation, generation: Generation, headers: HeaderList) -> None:
        self.conversation = conversation
        self.generation = generation
        self.faults: Faults = generation.faults
        self.headers = headers
        self.breaking = next(filter(None, map(generation.faults.find, _BREAKING)), None)
        """The fault that will break this answer, until it has struck."""
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    @property
    def elapsed_s(self) -> float:
        """Time since the request came in."""
        return self._loop.time() - self._began

    async def until(self, due_s: float) -> bool:
        """Wait for a moment of the generation's schedule. True when the client is still there."""
        return await self.conversation.pause(due_s - self.elapsed_s)

    async def client_left(self) -> None:
        """The client cancelled. What is generated after that, if anything, is billed too."""
        generation = self.generation
        generation.outcome = "cancelled"
        linger = self.faults.find("linger")
        if linger is None:
            return
        wanted = int(linger.number("tokens"))
        if wanted >= 0:
            tokens = 0
            while tokens < wanted and generation.made < len(generation.flow):
                tokens += generation.flow[generation.made][1].tokens
                generation.made += 1
            return
        until = self.elapsed_s + linger.number("ms") / 1000
        await self.conversation.linger(max(0.0, min(until, generation.due[-1]) - self.elapsed_s))
        made = pieces_due(generation.due, min(until, self.elapsed_s))
        generation.made = max(generation.made, min(made, len(generation.flow)))
