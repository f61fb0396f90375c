"""SQLAlchemy's asyncio engine without its ORM: 7 MB, and a tenth of a second of every start, that nothing here uses.

The package `sqlalchemy.ext.asyncio` imports its sessions, and with them the ORM; its module `engine` does not. Import
these names from here, everywhere in `gateway`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gateway.lean.packages import standing_in

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
else:
    with standing_in("sqlalchemy.ext.asyncio"):
        _engine = importlib.import_module("sqlalchemy.ext.asyncio.engine")
    AsyncConnection = _engine.AsyncConnection
    AsyncEngine = _engine.AsyncEngine
    create_async_engine = _engine.create_async_engine

__all__ = ["AsyncConnection", "AsyncEngine", "create_async_engine"]
