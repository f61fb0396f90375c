"""All of it together, as a process has it once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.config.snapshot import Snapshot
from gateway.journal.engine import AsyncEngine
from gateway.responses.background import Background
from gateway.responses.conversations import Conversations
from gateway.responses.memory import Memory
from gateway.responses.store import ResponseStore


class Responses:
    """What the Responses API's paths are answered from. Make it in the loop that it is used in."""

    def __init__(self, engine: AsyncEngine, snapshot: Callable[[], Snapshot], *, alone: bool) -> None:
        """`snapshot` gives the configuration in force; `alone`: no other gateway uses the same journal."""
        self.store = ResponseStore(engine, snapshot)
        self.background = Background(self.store, alone=alone)
        self.conversations = Conversations(self.store)
        self.memory = Memory(self.store)
        """For the pipeline."""

    async def drain(self, timeout_s: float, hurry: asyncio.Event) -> None:
        """Let what is made in the background come to its end for so long, or until `hurry`."""
        await self.background.close(timeout_s, hurry)

    async def close(self) -> None:
        """Write what waits. Idempotent."""
        await self.background.close(0.0)
        await self.store.close()
