"""SQLAlchemy's asyncio engine without its ORM: 7 MB, and a tenth of a second of every start, that nothing here uses.

The package `sqlalchemy.ext.asyncio` imports its sessions, and with them the ORM; its module `engine` does not. So that
module is imported with a bare package standing in for the other while it is. Whoever imports the package itself
afterwards gets it whole, with the same classes. Import these names from here, everywhere in `gateway`.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
else:
    _PACKAGE = "sqlalchemy.ext.asyncio"

    def _engine_alone() -> types.ModuleType:
        if _PACKAGE in sys.modules:
            return importlib.import_module(_PACKAGE)
        spec = importlib.util.find_spec(_PACKAGE)
        sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)  # made, and its own code not run
        try:
            return importlib.import_module(f"{_PACKAGE}.engine")
        finally:
            del sys.modules[_PACKAGE]

    _engine = _engine_alone()
    AsyncConnection = _engine.AsyncConnection
    AsyncEngine = _engine.AsyncEngine
    create_async_engine = _engine.create_async_engine

__all__ = ["AsyncConnection", "AsyncEngine", "create_async_engine"]
