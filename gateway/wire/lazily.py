"""Packages whose names are imported when they are first asked for: what nobody speaks costs no start and no memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names_of(package: str, files: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__`: each name of `files` comes from the module beside it, and stays.

    Raises AttributeError for any other name.
    """

    def get(name: str) -> Any:
        if name not in files:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(f"{package}.{files[name]}"), name)
        setattr(import_module(package), name, found)
        return found

    return get
