"""Forms with files over sockets: passed on as they come, governed by what stands before the file."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY, GatewayUnderTest
from tests.integration.test_other_apis import wav

Bill = Callable[[], list[Record]]

MIB = 1_048_576
HEADERS = {"authorization": f"Bearer {TESTER_KEY}", "content-type": "multipart/form-data; boundary=xyz"}


def field(name: str, value: str) -> bytes:
    return f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


FILE = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
END = b"\r\n--xyz--\r\n"


class Sink:
    """A provider that reads slowly, keeps nothing, and answers at the end."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bytes = 0
        self.tail = b""
        self.gone = asyncio.Event()
        """A client left in the midst of its request."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            while not self.tail.endswith((END, END + b"\r\n0\r\n\r\n")):
                for _ in range(20):
                    await asyncio.sleep(0)
                data = await reader.read(65_536)
                if not data:
                    self.gone.set()
                    return
                self.bytes += len(data)
                self.tail = (self.tail + data)[-100:]
            body = b'{"text": "heard", "usage": {"type": "duration", "seconds": 60}}'
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
            writer.write(b"content-length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
        except ConnectionError:
            self.gone.set()
        finally:
            writer.close()


@asynccontextmanager
async def provider() -> AsyncIterator[tuple[Sink, str]]:
    sink = Sink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
    try:
        yield sink, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


async def body(size: int, after: bytes = END, *, model: str = "sim-whisper") -> AsyncIterator[bytes]:
    """A form with a file of `size` zeros."""
    yield field("model", model) + FILE
    piece = bytes(65_536)
    for _ in range(size // len(piece)):
        yield piece
    yield after


async def test_a_large_file_is_never_kept(start_gateway: StartGateway) -> None:
    size = 48 * MIB
    length = len(field("model", "sim-whisper") + FILE + END) + size
    async with provider() as (sink, url), httpx.AsyncClient(timeout=60) as client:
        gateway = await start_gateway(url)
        for told in (True, False):
            sink.tail = b""
            tracemalloc.start()
            try:
                answer = await client.post(
                    f"{gateway.url}/v1/audio/transcriptions",
                    content=body(size),
                    headers={**HEADERS, **({"content-length": str(length)} if told else {})},
                )
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert answer.json()["text"] == "heard"
            assert peak < 6 * MIB
            names = [line.partition(b":")[0].lower() for line in sink.heads[-1].split(b"\r\n")[1:-2]]
            assert len(names) == len(set(names)), "no header is sent twice"
            assert b"authorization" not in names
            assert (b"Content-Length: %d\r\n" % length in sink.heads[-1]) == told
            assert (b"Transfer-Encoding: chunked\r\n" in sink.heads[-1]) != told
    assert sink.bytes > 2 * length
    for charge in await gateway.rows("charges"):
        assert (charge["units"], charge["cost_nano_usd"], charge["estimated"]) == ("second=60", 6_000_000, 0)


async def test_a_client_that_leaves_while_it_sends_is_charged_nothing(start_gateway: StartGateway) -> None:
    async def broken_off() -> AsyncIterator[bytes]:
        async for piece in body(4 * MIB, b""):
            yield piece
        raise ConnectionError

    async with provider() as (sink, url), httpx.AsyncClient() as client:
        gateway = await start_gateway(url)
        with pytest.raises(ConnectionError):
            await client.post(f"{gateway.url}/v1/audio/transcriptions", content=broken_off(), headers=HEADERS)
        await sink.gone.wait()
        [charge] = await gateway.eventually("charges", 1)
        [request] = await gateway.eventually("requests", 1)
    assert (charge["outcome"], charge["cost_nano_usd"], charge["resolution"]) == ("cancelled", 0, "released")
    assert request["outcome"] == "client_gone"


WRONG = (
    ((FILE, bytes(MIB), b"\r\n" + field("model", "sim-whisper")[:-2] + END), "model", "before the file"),
    (
        (field("model", "a"), FILE, bytes(MIB), b"\r\n" + field("model", "b")[:-2] + END),
        "model",
        "before the file",
    ),
    ((field("model", "sim-whisper"), field("model", "sim-transcribe"), FILE, b"a" + END), "model", "twice"),
    ((field("Model", "sim-whisper"), FILE, b"a" + END), "Model", "must be written `model`"),
    ((field("language", "en"), FILE, b"a" + END), "model", "`model`"),
)


async def test_what_is_governed_stands_before_the_file_and_once(start_gateway: StartGateway) -> None:
    async def pieces(content: tuple[bytes, ...]) -> AsyncIterator[bytes]:
        for piece in content:
            yield piece

    async with provider() as (sink, url), httpx.AsyncClient() as client:
        models = {
            name: {"provider": "sim", "price": {"input": "0", "output": "0"}, "tariff": {"second": "0.1"}}
            for name in ("a", "b", "sim-whisper", "sim-transcribe")
        }
        gateway = await start_gateway(url, models=models)
        for content, param, says in WRONG:
            answer = await client.post(
                f"{gateway.url}/v1/audio/transcriptions", content=pieces(content), headers=HEADERS
            )
            error = answer.json()["error"]
            assert (answer.status_code, error["param"]) == (400, param)
            assert says in error["message"]
        assert all(charge["cost_nano_usd"] == 0 for charge in await gateway.rows("charges"))
        assert not sink.tail.endswith(END)


async def test_a_small_file_may_come_first_and_is_sent_again(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Bill
) -> None:
    gateway = await start_gateway(
        f"{simulator.url}/v1",
        models={
            "ears": {
                "deployments": [
                    {"provider": "sim", "model": f"sim-whisper{fault}", "price": {"input": "0", "output": "0"},
                     "tariff": {"second": "0.0001"}}
                    for fault in ("+fault-503", "")
                ]
            }
        },
    )  # fmt: skip
    async with gateway.sdk() as openai:
        heard = await openai.audio.transcriptions.create(model="ears", file=("a.wav", wav(2)))
    assert heard.text.startswith("32000 bytes")
    charges = await gateway.rows("charges")
    assert [(each["deployment"], each["cost_nano_usd"]) for each in charges] == [
        ("sim/sim-whisper+fault-503", 0),
        ("sim/sim-whisper", bill()[0].cost_nano_usd),
    ]


async def test_a_large_file_goes_to_whoever_can_be_reached_but_is_sent_once(start_gateway: StartGateway) -> None:
    async with provider() as (_, url), httpx.AsyncClient() as client:
        gateway = await start_gateway(
            url,
            providers={"away": {"base_url": "http://127.0.0.1:1/v1"}, "sim": {"base_url": url}},
            models={
                "ears": {
                    "deployments": [
                        {"provider": provider, "model": "whisper", "price": {"input": "0", "output": "0"},
                         "tariff": {"second": "0.0001"}}
                        for provider in ("away", "sim")
                    ]
                }
            },
        )  # fmt: skip
        answer = await client.post(
            f"{gateway.url}/v1/audio/transcriptions", content=body(MIB, model="ears"), headers=HEADERS
        )
    assert answer.json()["text"] == "heard"
    assert [each["outcome"] for each in await gateway.rows("charges")] == ["unreachable", "ok"]


async def test_a_provider_that_breaks_off_is_not_asked_again(start_gateway: StartGateway) -> None:
    connections = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read(700_000)
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    gateway: GatewayUnderTest = await start_gateway(url, retries={"max": 2})
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{gateway.url}/v1/audio/transcriptions", content=body(8 * MIB), headers=HEADERS)
    server.close()
    assert (answer.status_code, connections) == (502, 1)
    [charge] = await gateway.rows("charges")
    assert charge["cost_nano_usd"] == 0


async def test_who_is_refused_and_goes_on_sending_is_hung_up_on(start_gateway: StartGateway) -> None:
    async with provider() as (_, url):
        gateway = await start_gateway(url, server={"header_timeout_s": 1, "max_upload_bytes": MIB})
        host, port = gateway.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TESTER_KEY}\r\n"
        head += "content-type: multipart/form-data; boundary=xyz\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        for piece in (field("model", "sim-whisper") + FILE, bytes(2 * MIB), bytes(100)):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        assert b" 413 " in await reader.readline()
        await reader.read()  # to the end of the connection, which is not the client's doing
        writer.close()


async def test_a_form_beyond_the_bound_is_refused(start_gateway: StartGateway) -> None:
    async with provider() as (_, url), httpx.AsyncClient() as client:
        gateway = await start_gateway(url, server={"max_upload_bytes": MIB})
        answer = await client.post(f"{gateway.url}/v1/audio/transcriptions", content=body(4 * MIB), headers=HEADERS)
    assert answer.status_code == 413
