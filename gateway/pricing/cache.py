"""The compiled table as a file: made once for each version of genai-prices, read in milliseconds afterwards.

A file is one line (what it is, for which versions, its checksum) and the table in MessagePack. It is put in place by
renaming, so that two gateways starting at once never see half of one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

FORMAT = 2
"""Raise it whenever the compiler writes something else from the same data."""

_COMPILE_TIMEOUT_S = 120
_SOURCE_ROOT = Path(__file__).resolve().parents[2]


class PriceTableError(RuntimeError):
    """The price table could not be made; the message says why."""


def file_name() -> str:
    """What the table of the installed versions is called."""
    return f"prices-{FORMAT}-{version('genai-prices')}-py{sys.version_info[0]}{sys.version_info[1]}.msgpack"


def pack(table: list[list[Any]]) -> bytes:
    """The file's bytes."""
    packed = msgspec.msgpack.encode(table)
    return _header(packed) + packed


def unpack(content: bytes) -> memoryview:
    """The table's MessagePack out of a file's bytes. ValueError when they are damaged or another version's."""
    line, newline, _ = content.partition(b"\n")
    packed = memoryview(content)[len(line) + 1 :]
    if not newline or line + b"\n" != _header(packed):
        raise ValueError("not the price table of this version, or damaged")
    return packed


def _header(packed: bytes | memoryview) -> bytes:
    return f"farebox {file_name()} {zlib.crc32(packed):08x}\n".encode()


def read_or_compile(cache_dir: Path | None) -> memoryview:
    """The table's MessagePack: from `cache_dir`, where it is compiled when none fits, or compiled for this once."""
    if cache_dir is None:
        with tempfile.TemporaryDirectory(prefix="farebox-") as directory:
            return _compile(Path(directory) / file_name())
    path = cache_dir / file_name()
    try:
        return unpack(path.read_bytes())
    except (OSError, ValueError):
        return _compile_into(path)


def _compile_into(path: Path) -> memoryview:
    """Compile to `path` by way of a temporary file beside it, and remove the tables of other versions."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="prices-", dir=path.parent) as directory:
            made = Path(directory) / path.name
            packed = _compile(made)
            made.replace(path)
        for other in path.parent.glob("prices-*.msgpack"):
            if other != path:
                other.unlink(missing_ok=True)
    except OSError as error:
        raise PriceTableError(f"the price table could not be written to {path.parent}: {error}") from error
    return packed


def _compile(path: Path) -> memoryview:
    import subprocess  # only the first start of a version needs it

    # -P and the path: the child runs this very code, never a "gateway" that lies in the working directory.
    command = [sys.executable, "-P", "-m", "gateway.pricing.compile", os.fspath(path)]
    search = os.pathsep.join(filter(None, (os.fspath(_SOURCE_ROOT), os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(  # noqa: S603 our own module, no shell
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=_COMPILE_TIMEOUT_S,
            env={**os.environ, "PYTHONPATH": search},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PriceTableError(f"the price table could not be compiled: {error}") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PriceTableError(f"the price table could not be compiled from genai-prices: {reason}")
    try:
        return unpack(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PriceTableError(f"the compiler left no usable price table: {error}") from error
