"""Importing a module without the package around it, whose `__init__` may import ten times as much for other uses.

While the block runs, a bare package stands in for the one of this name. Whoever imports the package itself afterwards
gets it whole, with the same classes: its modules are there already.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def standing_in(name: str) -> Iterator[types.ModuleType]:
    """A package made, and its own code not run; the package itself where somebody has imported it already.

    Import its modules by `importlib.import_module`, one level down. Not for two threads with the same package.
    """
    if name in sys.modules:
        yield importlib.import_module(name)
        return
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    package = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        yield package
    finally:
        del sys.modules[name]
