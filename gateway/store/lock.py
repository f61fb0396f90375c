"""One gateway per storage directory: an exclusive lock that the kernel lets go of when its process dies.

Only a gateway that serves takes it. Commands read and write the journal beside it; the counters of the memory store,
and the log of its reservations, have one owner.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from gateway.journal.database import JournalError

FILE_NAME = "gateway.lock"


class StorageLocked(JournalError):
    """Another gateway serves from the same storage directory."""


class StorageLock:
    """Held from `take` to `release`, or to the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, directory: Path) -> Self:
        """Lock an existing directory. Raises StorageLocked, which names the holder, and JournalError.

        The file stays when the lock is released: deleting it would let two processes hold locks on two files.
        """
        path = directory / FILE_NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"the lock {path} cannot be opened: {error.strerror or error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise StorageLocked(
                f"another gateway{f' (process {holder})' if holder else ''} serves from {directory}: "
                "stop it, or give this one a `storage.dir` of its own"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"{path} cannot be locked: {error.strerror or error}") from error
        return cls(descriptor)

    def release(self) -> None:
        """Let another gateway in. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
