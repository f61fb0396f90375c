"""Reaching upstreams through an HTTP proxy."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from pathlib import Path

import pytest
import trustme

from gateway.config.snapshot import Endpoint
from gateway.upstream.pool import Pool
from gateway.upstream.transport import Aborted, Unreachable
from tests.gateway.upstream.raw_server import OK, Peer, RawServer, Request, always_ok, eventually, quick

LOOPS = ("asyncio", "uvloop")
BASIC = b"Basic " + b64encode(b"user:p@ss")


class Proxy(RawServer):
    """A CONNECT proxy that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(self.tunnel)
        self.asked: list[Request] = []

    async def tunnel(self, peer: Peer) -> None:
        request = await peer.request()
        if request is None:
            return
        self.asked.append(request)
        host, _, port = request.line.split()[1].decode().rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        await peer.send(b"HTTP/1.1 200 Connection established\r\nVia: us\r\n\r\n")
        try:
            await asyncio.gather(pump(peer.reader, writer), pump(reader, peer.writer))
        finally:
            writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("proxy") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    return context, path


async def test_https_goes_through_a_tunnel(pool: Pool, tls: tuple[ssl.SSLContext, Path]) -> None:
    seen: list[Request] = []

    async def handler(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request)
            await peer.send(OK)

    async with RawServer(handler, tls=tls[0]) as server, Proxy() as proxy:
        endpoint = server.endpoint(
            base_url=f"https://localhost:{server.port}/v1",
            ca_file=tls[1],
            proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}",
            headers=(("authorization", "Bearer sk-1"),),
        )
        for _ in range(3):
            assert await (await pool.start(endpoint, b"POST", b"/chat", b"", b"{}").response()).read() == b"ok"
        assert proxy.accepted == 1
        (asked,) = proxy.asked
        assert asked.line == b"CONNECT localhost:%d HTTP/1.1" % server.port
        assert asked.header(b"proxy-authorization") == BASIC
        assert asked.header(b"authorization") is None
        assert seen[0].line == b"POST /v1/chat HTTP/1.1"
        assert seen[0].header(b"proxy-authorization") is None
        assert len(seen) == 3


async def test_the_certificate_counts_inside_the_tunnel_too(pool: Pool, tls: tuple[ssl.SSLContext, Path]) -> None:
    async with RawServer(tls=tls[0]) as server, Proxy() as proxy:
        endpoint = server.endpoint(base_url=f"https://localhost:{server.port}", proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(Unreachable, match=r"localhost:\d+: its TLS certificate is not accepted"):
            await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()
        await proxy.all_gone()


async def test_a_call_served_meanwhile_survives_the_failure_of_its_own_opening(
    pool: Pool, tls: tuple[ssl.SSLContext, Path]
) -> None:
    refuse, answer_first, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Grudging(Proxy):
        async def tunnel(self, peer: Peer) -> None:
            if peer.number == 1:
                await super().tunnel(peer)
                return
            await peer.request()
            await refuse.wait()
            await peer.send(b"HTTP/1.1 503 No\r\n\r\n")
            await peer.gone()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await answer_first.wait()
        await peer.send(OK)
        await peer.request()
        await release.wait()
        await peer.send(OK)
        await peer.gone()

    async with RawServer(handler, tls=tls[0]) as server, Grudging() as proxy:
        endpoint = server.endpoint(
            base_url=f"https://localhost:{server.port}", ca_file=tls[1], proxy=f"http://127.0.0.1:{proxy.port}"
        )
        first = pool.start(endpoint, b"POST", b"/", b"", b"{}")
        await eventually(lambda: pool.stats().in_use == 1)
        second = pool.start(endpoint, b"POST", b"/", b"", b"{}")
        assert pool.stats().waiting == 1
        answer_first.set()
        assert await (await first.response()).read() == b"ok"
        assert pool.stats() == (1, 0, 1, 0)
        refuse.set()
        (host,) = pool._hosts.values()
        await eventually(lambda: not host.openings)
        release.set()
        assert await (await second.response()).read() == b"ok"
        assert second.connection_reused


async def test_plain_http_is_asked_of_the_proxy_in_absolute_form(pool: Pool) -> None:
    seen: list[Request] = []

    async def handler(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request)
            await peer.send(OK)

    async with RawServer(handler) as proxy:
        endpoint = proxy.endpoint(
            base_url="http://models.example:8000/v1", proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}"
        )
        for _ in range(2):
            assert await (await pool.start(endpoint, b"POST", b"/chat", b"", b"{}").response()).read() == b"ok"
        assert proxy.accepted == 1
    for request in seen:
        assert request.line == b"POST http://models.example:8000/v1/chat HTTP/1.1"
        assert request.header(b"host") == b"models.example:8000"
        assert request.header(b"proxy-authorization") == BASIC


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "refused the tunnel with status 407",
        ),
        (b"HTTP/1.0 503 No\r\n\r\n", "refused the tunnel with status 503"),
        (b"", "closed the connection during CONNECT"),
        (b"SSH-2.0-x\r\n\r\n", "no HTTP"),
        (b"x" * 20_000, "too long"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "sent data before"),
    ],
)
async def test_a_proxy_that_refuses_is_named_without_its_credentials(pool: Pool, reply: bytes, problem: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply)
        if reply:
            await peer.gone()

    async with RawServer(handler) as proxy:
        endpoint = proxy.endpoint(
            base_url="https://models.example/v1", proxy=f"http://user:hunter2@127.0.0.1:{proxy.port}"
        )
        with pytest.raises(Unreachable, match=problem) as caught:
            await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()
        assert f"proxy 127.0.0.1:{proxy.port} for models.example:443" in str(caught.value)
        assert "hunter2" not in repr(caught.value)
        assert not caught.value.sent
        await proxy.all_gone()


async def test_a_proxy_that_is_not_there(pool: Pool) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{bound.getsockname()[1]}"
        endpoint = Endpoint("acme", "https://models.example", (), proxy=f"http://u:hunter2@{where}")
        with pytest.raises(Unreachable, match=rf"^proxy {where}: cannot connect: Connection refused") as caught:
            await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()
    assert "hunter2" not in str(caught.value)


async def test_a_socks_proxy_is_refused_with_a_reason(pool: Pool) -> None:
    async with RawServer(always_ok) as server:
        call = pool.start(server.endpoint(proxy="socks5://u:hunter2@127.0.0.1:1080"), b"GET", b"/", b"", b"")
        with pytest.raises(Unreachable, match="provider acme: socks5 proxies are not supported") as caught:
            await call.response()
        assert "hunter2" not in str(caught.value)


async def test_a_proxy_that_never_answers_is_given_up_cleanly() -> None:
    pool = Pool()
    async with RawServer(Peer.gone) as proxy:
        endpoint = proxy.endpoint(
            base_url="https://models.example",
            proxy=f"http://127.0.0.1:{proxy.port}",
            timeouts=quick(connect_s=3600),
        )
        call = pool.start(endpoint, b"POST", b"/", b"", b"{}")
        await proxy.until(lambda seen: seen.accepted == 1)
        call.abort()
        with pytest.raises(Aborted):
            await call.response()
        await pool.close()
        await proxy.all_gone()
