"""uvicorn's server without its command line: 2.5 MB of click, multiprocessing and a file watcher that we do not use.

The package imports them with its own `main`; the modules that serve do not. Import these names from here, everywhere
in `gateway`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gateway.lean.packages import standing_in

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
    from uvicorn.server import Server, ServerState
else:
    with standing_in("uvicorn") as _package:
        _package.Config = Config = importlib.import_module("uvicorn.config").Config
        _server = importlib.import_module("uvicorn.server")
        _protocol = importlib.import_module("uvicorn.protocols.http.httptools_impl")
        importlib.import_module("uvicorn.lifespan.off")  # imported by its name when a server starts
    Server, ServerState = _server.Server, _server.ServerState
    STATUS_LINE = _protocol.STATUS_LINE
    HttpToolsProtocol, RequestResponseCycle = _protocol.HttpToolsProtocol, _protocol.RequestResponseCycle

__all__ = ["STATUS_LINE", "Config", "HttpToolsProtocol", "RequestResponseCycle", "Server", "ServerState"]
