"""Dialects by the names that the configuration writes.

Each stands in a module of its name, as `DIALECT`, and is loaded when it is first asked for: start-up stays light.
"""

from __future__ import annotations

from importlib import import_module

from gateway.config.dialects import DIALECTS
from gateway.upstream.dialects import openai
from gateway.upstream.dialects.protocol import Dialect

_loaded: dict[str, Dialect] = {openai.DIALECT.name: openai.DIALECT}


def find(name: str) -> Dialect:
    """The dialect called `name`, one of `gateway.config.dialects.DIALECTS`. Raises KeyError for another."""
    found = _loaded.get(name)
    if found is None:
        if name not in DIALECTS:
            raise KeyError(name)
        found = import_module(f"gateway.upstream.dialects.{name}").DIALECT
        _loaded[name] = found
    return found
