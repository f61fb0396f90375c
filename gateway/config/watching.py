"""Waits until files change."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

_DEBOUNCE_MS = 200
"""The longest that changes which come together are waited for."""
_STEP_MS = 50
"""How often the waiting thread looks whether it is to stop, and how long a quiet moment ends a group of changes."""
_POLL_MS = 300
"""How often files are looked at where the system does not tell of changes."""


class Watcher:
    """Watches folders, not what is below them, from when it is made. For a `with` block, and one caller at a time."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Raises OSError: the system has no more watches, or a folder is gone."""
        from gateway.lean.watchfiles import RustNotify  # imported only where something is watched

        paths = [str(folder) for folder in folders]
        self._notify = RustNotify(paths, False, False, _POLL_MS, False, False)
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, "configuration watcher")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=False)
        self._notify.close()

    async def changed(self) -> set[Path]:
        """Wait for changes: the paths that have changed since the last call. Raises OSError."""
        loop = asyncio.get_running_loop()
        while True:
            waiting = loop.run_in_executor(self._thread, self._notify.watch, _DEBOUNCE_MS, _STEP_MS, 0, self._stop)
            try:
                found = await asyncio.shield(waiting)
            except asyncio.CancelledError:
                self._stop.set()
                await asyncio.wait((waiting,))  # it may not be closed while it is used
                raise
            if not isinstance(found, str):
                return {Path(path) for _, path in found}
