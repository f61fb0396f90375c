"""watchfiles' own watcher without the interface around it: that brings anyio, which nothing else here uses.

`RustNotify(paths, debug, force_polling, poll_delay_ms, recursive, ignore_permission_denied)` watches from then on, and
its `watch(debounce_ms, step_ms, timeout_ms, stop)` waits for changes in the thread that calls it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gateway.lean.packages import standing_in

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify
else:
    with standing_in("watchfiles"):
        RustNotify = importlib.import_module("watchfiles._rust_notify").RustNotify

__all__ = ["RustNotify"]
