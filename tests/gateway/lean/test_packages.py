"""A gateway has what it uses of large packages, and nothing else of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.lean.packages import standing_in

_PROGRAM = """
import asyncio, sys
import gateway.app, gateway.lean.watchfiles
from pathlib import Path
from gateway.lean.uvicorn import Config, Server
config = Config(lambda: None, lifespan="off", log_config=None, http=gateway.api.connection.Connection, ws="none")
config.load()
TONGUES = [f"gateway.wire.{tongue}.{part}" for tongue in ("messages", "responses") for part in ("translator", "wire")]
for name in ("click", "multiprocessing", "anyio", "watchfiles.main", "uvicorn.main", *TONGUES):
    assert name not in sys.modules, f"{name} was imported"
import uvicorn
from watchfiles import awatch
assert (uvicorn.Config, uvicorn.Server) == (Config, Server)
assert "click" in sys.modules and "anyio" in sys.modules
"""


def test_a_gateway_does_not_import_what_it_does_not_use_and_who_wants_it_gets_it() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_package_that_is_there_is_itself() -> None:
    with standing_in("gateway") as package:
        assert package is sys.modules["gateway"]
    assert "gateway" in sys.modules


def test_a_package_that_is_not_installed_is_told() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"), standing_in("no_such_package"):
        pass
