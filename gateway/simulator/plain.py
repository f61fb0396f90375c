"""Sending a generation as one body, with the faults that a plain answer can have."""

from __future__ import annotations

import gzip

from gateway.simulator.conversation import JSON, Conversation, HeaderList
from gateway.simulator.delivery import GARBAGE, Delivery
from gateway.simulator.generation import Generation, Wire
from gateway.simulator.pace import pieces_due


class PlainDelivery(Delivery):
    """One generation, sent when all of it is made."""

    def __init__(self, conversation: Conversation, generation: Generation, wire: Wire, headers: HeaderList) -> None:
        super().__init__(conversation, generation, headers)
        self._wire = wire

    async def run(self) -> None:
        """Wait until everything is generated and send it."""
        generation = self.generation
        self.conversation.watch()
        if not await self.until(generation.due[-1]):
            generation.made = min(pieces_due(generation.due, self.elapsed_s), len(generation.flow))
            await self.client_left()
            return
        generation.made = len(generation.flow)
        told = not self.faults.find("missing-usage")
        body = self._wire.body(generation.choices, generation.usage() if told else None)
        broken = self.breaking.name if self.breaking is not None else ""
        if broken == "bad-json":
            body = body[: len(body) // 2]
        elif broken == "garbage":
            body = GARBAGE
        content_type = getattr(self._wire, "content_type", None)
        headers = [*([(b"content-type", content_type)] if content_type else JSON), *self.headers]
        if self.faults.find("gzip"):
            body = gzip.compress(body)
            headers.append((b"content-encoding", b"gzip"))
        if broken == "cut":
            await self._cut(body, headers)
        else:
            generation.usage_delivered = told and broken not in {"bad-json", "garbage"} and not self.conversation.gone
            await self.conversation.answer(200, body, headers)

    async def _cut(self, body: bytes, headers: HeaderList) -> None:
        """Promise the whole body, send half of it and break the connection."""
        self.generation.outcome = "cut"
        await self.conversation.start(200, [*headers, (b"content-length", b"%d" % len(body))])
        await self.conversation.write(body[: len(body) // 2])
        await self.conversation.reset()
