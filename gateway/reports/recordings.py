"""Recorded requests as a file: JSON lines, gzipped where the name ends in `.gz`.

The first line says what the file is; each other line is a request. What has its usual value is left out, and what a
newer version has added is passed over.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated, Final

import msgspec

from routing.money import NanoUsd, Usage
from routing.profile import RequestProfile
from routing.recorded import Recorded

FORMAT: Final = 1

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class RecordingError(Exception):
    """A file that cannot be read or written, or that holds something else."""


class _Header(msgspec.Struct, frozen=True):
    farebox_profiles: int
    """The version of the format."""


class _Profile(msgspec.Struct, omit_defaults=True):
    model: str
    api: str = "chat"
    input_bytes: _Count = 0
    input_tokens: _Count = 0
    max_output_tokens: _Count | None = None
    answers: _Count = 1
    messages: _Count = 0
    tools: _Count = 0
    images: _Count = 0
    stream: bool = False
    json_schema: bool = False
    service_tier: str = "default"


class _Line(msgspec.Struct, omit_defaults=True):
    request_id: str
    at_s: Annotated[float, msgspec.Meta(ge=0, le=1e11)]
    org: str
    team: str
    agent: str
    profile: _Profile
    model: str = ""
    usage: dict[str, _Count] = {}
    cost_nano_usd: int = 0
    other_cost_nano_usd: int = 0
    outcome: str = "ok"
    error_code: str = ""
    tags: dict[str, str] = {}
    run: str = ""
    session: str = ""
    value_usd: Annotated[float, msgspec.Meta(ge=0, le=1e9)] | None = None
    priority: str = "normal"
    complexity: _Share | None = None
    in_tool_loop: bool = False
    parallel_tools: bool = False
    run_depth: _Count = 0
    score: _Share | None = None
    p_correct: dict[str, _Share] = {}


_encoder = msgspec.json.Encoder()
_lines = msgspec.json.Decoder(_Line)
_headers = msgspec.json.Decoder(_Header)


def encode(row: Recorded) -> bytes:
    """A request as a line, without its end."""
    line = _Line(
        row.request_id,
        row.at_s,
        row.org,
        row.team,
        row.agent,
        _Profile(**row.profile._asdict()),
        row.model,
        {name: count for name, count in row.usage._asdict().items() if count},
        row.cost,
        row.other_cost,
        row.outcome,
        row.error_code,
        dict(row.tags),
        row.run,
        row.session,
        row.value_usd,
        row.priority,
        row.complexity,
        row.in_tool_loop,
        row.parallel_tools,
        row.run_depth,
        row.score,
        dict(row.p_correct),
    )
    return _encoder.encode(line)


def decode(line: bytes) -> Recorded:
    """A request from its line. Raises ValueError, which says what is wrong with it."""
    found = _lines.decode(line)
    shape, used = found.profile, found.usage
    profile = RequestProfile(*(getattr(shape, name) for name in RequestProfile._fields))
    return Recorded(
        found.request_id,
        found.at_s,
        found.org,
        found.team,
        found.agent,
        profile,
        found.model,
        Usage(*(used.get(name, 0) for name in Usage._fields)),
        NanoUsd(found.cost_nano_usd),
        NanoUsd(found.other_cost_nano_usd),
        found.outcome,
        found.error_code,
        found.tags,
        found.run,
        found.session,
        found.value_usd,
        found.priority,
        found.complexity,
        found.in_tool_loop,
        found.parallel_tools,
        found.run_depth,
        found.score,
        found.p_correct,
    )


async def write(path: Path, rows: AsyncIterable[Recorded]) -> int:
    """Write a file, over what was there; how many requests it has. Raises RecordingError, and leaves no half file."""
    part = path.with_name(f"{path.name}.part")
    count = 0
    try:
        with _open(part, "wb", zipped=path.suffix == ".gz") as file:
            file.write(_encoder.encode(_Header(FORMAT)) + b"\n")
            async for row in rows:
                file.write(encode(row) + b"\n")
                count += 1
        part.replace(path)
    except OSError as error:
        raise RecordingError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return count


def read(path: Path) -> Iterator[Recorded]:
    """The requests of a file, in its order. Raises RecordingError, which names the line."""
    try:
        with _open(path, "rb", zipped=path.suffix == ".gz") as file:
            _check(path, file.readline())
            for number, line in enumerate(file, 2):
                yield _decoded(path, number, line)
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _decoded(path: Path, number: int, line: bytes) -> Recorded:
    try:
        return decode(line)
    except ValueError as error:
        raise RecordingError(f"{path}:{number}: {error}") from error


def _check(path: Path, first: bytes) -> None:
    try:
        header = _headers.decode(first)
    except ValueError:
        raise RecordingError(f"{path} is no file of `farebox profiles export`") from None
    if header.farebox_profiles != FORMAT:
        raise RecordingError(f"{path} is of format {header.farebox_profiles}; this version of Farebox reads {FORMAT}")


def _open(path: Path, mode: str, *, zipped: bool) -> IO[bytes]:
    return gzip.open(path, mode) if zipped else path.open(mode)  # type: ignore[return-value]  # both are of bytes
