"""`durability: power`: reservations are on the disk before their attempts start. One fdatasync serves all who wait."""

from __future__ import annotations

import asyncio
import os

from gateway.store.log import LogUnwritable, ReservationLog


class GroupSync:
    """Waits until what the log has written so far outlives a loss of power."""

    def __init__(self, log: ReservationLog, directory_descriptor: int) -> None:
        self._log = log
        self._directory = directory_descriptor
        self._named = 0
        """The newest generation of the log whose file's name is on the disk."""
        self._next: asyncio.Future[str | None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return when everything written before the call is on the disk. Raises LogUnwritable."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        joined = self._next
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="reservations on disk")
        if (error := await asyncio.shield(joined)) is not None:
            raise LogUnwritable(error)

    async def close(self) -> None:
        """Finish what is waited for."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        while (joined := self._next) is not None:
            self._next = None  # who comes from now on may have written after the sync began: they wait for the next
            error = await self._sync()
            if not joined.done():
                joined.set_result(error)

    async def _sync(self) -> str | None:
        log = self._log
        generation = log.generation
        descriptor = -1
        try:
            descriptor = os.dup(log.descriptor)  # the log may begin a new file meanwhile and close this one
            await asyncio.to_thread(os.fdatasync, descriptor)
            if generation > self._named:
                await asyncio.to_thread(os.fsync, self._directory)
                self._named = generation
        except OSError as error:
            log.abandon()  # after a failed sync nobody can say what is on the disk: all that is pending is written anew
            return f"the log of reservations cannot be synced: {error.strerror or error}"
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return None
