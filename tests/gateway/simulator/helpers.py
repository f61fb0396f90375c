"""A client so plain that it shows what is on the wire."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.simulator.server import SimulatorServer

ASK = [{"role": "user", "content": "Why is the sky blue at noon?"}]
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


class Answer:
    """What came back: head, body without its chunk framing, and whether the connection was reset."""

    def __init__(self, head: bytes, body: bytes, reset: bool) -> None:
        self.status = int(head.split(b" ", 2)[1]) if head else 0
        lines = head.decode("latin-1").split("\r\n")[1:]
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
        }
        self.chunked = "transfer-encoding" in self.headers
        self.body = unchunk(body) if self.chunked else body
        self.complete = (
            body.endswith(b"0\r\n\r\n") if self.chunked else len(body) == int(self.headers.get("content-length", -1))
        )
        self.reset = reset

    def json(self) -> Any:
        return json.loads(self.body)

    def data(self) -> list[bytes]:
        """Each event's data lines, joined."""
        events = [event.split(b"\n") for event in self.body.split(b"\n\n")]
        return [b"\n".join(line[6:] for line in lines if line.startswith(b"data: ")) for lines in events if any(lines)]

    def chunks(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data in self.data() if data and data != b"[DONE]"]

    def named(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and data of each event of a stream whose events have names."""
        found = []
        for event in self.body.decode().strip().split("\n\n"):
            name, data = event.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        return found

    def usages(self) -> list[dict[str, Any]]:
        return [chunk["usage"] for chunk in self.chunks() if chunk.get("usage")]


def unchunk(body: bytes) -> bytes:
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        out += body[:length]
        body = body[length + 2 :]
    return out


def request_bytes(body: dict[str, Any], path: str, headers: dict[str, str]) -> bytes:
    raw = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: sim", f"content-length: {len(raw)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


@asynccontextmanager
async def connected(
    sim: SimulatorServer, body: dict[str, Any], *, path: str = "/v1/chat/completions", **headers: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send a request and hand out the connection. Header names have `_` for `-`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    try:
        writer.write(request_bytes(body, path, {name.replace("_", "-"): value for name, value in headers.items()}))
        yield reader, writer
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass


async def post(
    sim: SimulatorServer, body: dict[str, Any], *, path: str = "/v1/chat/completions", **headers: str
) -> Answer:
    received, reset = b"", False
    async with connected(sim, body, path=path, **headers) as (reader, _):
        try:
            while data := await reader.read(65536):
                received += data
        except ConnectionResetError:
            reset = True
    head, _, rest = received.partition(b"\r\n\r\n")
    return Answer(head, rest, reset)


def chat(model: str = "sim-small", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": ASK, **fields}


async def read_tokens(reader: asyncio.StreamReader, count: int) -> None:
    """Read until so many content events have come."""
    seen = b""
    while seen.count(b'"delta":{"content":"') < count:  # the opening event's delta begins with the role
        data = await reader.read(65536)
        assert data, seen
        seen += data
