"""`farebox serve`: the gateway, and the simulated provider beside it when the configuration asks for one."""

from __future__ import annotations

import importlib
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer


def serve(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("config.yaml"),
    host: Annotated[str | None, typer.Option(help="Listen here instead of server.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen here instead of server.port; 0 picks a free one.")] = None,
    access_log: Annotated[bool, typer.Option(help="Log one line per request.")] = False,
) -> None:
    """Run the gateway. SIGTERM drains it, SIGHUP reads the configuration again.

    Example: farebox serve --config config.yaml
    """
    from gateway.cli.configuration import load_or_exit
    from gateway.telemetry.log import configure_logging

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload it must not end us
    importing = threading.Thread(target=importlib.import_module, args=("gateway.serving",), daemon=True)
    importing.start()  # while the first start's price table is compiled by a child process
    configure_logging()
    snapshot = load_or_exit(config)
    importing.join()

    import uvloop

    from gateway.serving import Options, run

    code = uvloop.run(run(snapshot, Options(host=host, port=port, access_log=access_log)))
    raise typer.Exit(code)
