"""TLS, and what is said when a connection cannot be opened."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from gateway.upstream.pool import Pool
from gateway.upstream.transport import ConnectionBroken, Unreachable
from tests.gateway.upstream.raw_server import OK, Peer, RawServer, always_ok, answer, eventually, quick

LOOPS = ("asyncio", "uvloop")


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


def server_context(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def url(server: RawServer, host: str = "localhost") -> str:
    return f"https://{host}:{server.port}/v1"


async def test_a_private_ca_is_trusted_by_the_endpoint_that_names_it(pool: Pool, ca: trustme.CA, ca_file: Path) -> None:
    seen: list[str | None] = []

    async def handler(peer: Peer) -> None:
        tls = peer.writer.get_extra_info("ssl_object")
        seen.append(tls.selected_alpn_protocol())
        await always_ok(peer)

    names: list[str | None] = []
    context = server_context(ca, "localhost", "127.0.0.1")
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with RawServer(handler, tls=context) as server:
        for host in ("localhost", "localhost", "127.0.0.1"):
            endpoint = server.endpoint(base_url=url(server, host), ca_file=ca_file)
            assert await (await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()).read() == b"ok"
        assert server.accepted == 2
        assert seen == ["http/1.1"] * 2
        assert names[0] == "localhost"


async def test_without_the_ca_the_message_names_host_and_certificate(pool: Pool, ca: trustme.CA) -> None:
    async with RawServer(tls=server_context(ca, "localhost")) as server:
        endpoint = server.endpoint(base_url=url(server), headers=(("authorization", "sk-secret"),))
        with pytest.raises(
            Unreachable, match=r"localhost:\d+: its TLS certificate is not accepted: .*certificate"
        ) as no:
            await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()
        assert not no.value.sent
        assert "sk-secret" not in str(no.value)


async def test_another_ca_is_not_the_right_one(pool: Pool, ca: trustme.CA, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    async with RawServer(tls=server_context(ca, "localhost")) as server:
        with pytest.raises(Unreachable, match="not accepted"):
            await pool.start(server.endpoint(base_url=url(server), ca_file=other), b"POST", b"/", b"", b"{}").response()


async def test_a_certificate_for_another_name_is_refused(pool: Pool, ca: trustme.CA, ca_file: Path) -> None:
    async with RawServer(tls=server_context(ca, "elsewhere.example")) as server:
        endpoint = server.endpoint(base_url=url(server), ca_file=ca_file)
        with pytest.raises(Unreachable, match=r"localhost.*not accepted: .*not valid for 'localhost'"):
            await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()


async def test_verification_can_be_switched_off_for_one_endpoint(pool: Pool, ca: trustme.CA) -> None:
    async with RawServer(tls=server_context(ca, "elsewhere.example")) as server:
        endpoint = server.endpoint(base_url=url(server), verify_tls=False)
        assert await (await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()).read() == b"ok"


async def test_a_ca_file_that_is_none(pool: Pool, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    for path, problem in ((tmp_path / "missing.pem", "No such file"), (junk, "holds no certificate")):
        async with RawServer() as server:
            endpoint = server.endpoint(base_url=url(server), ca_file=path)
            with pytest.raises(Unreachable, match=f"{path.name}: {problem}"):
                await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()


async def test_a_renewed_ca_file_counts_at_once(pool: Pool, ca: trustme.CA, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    async with RawServer(tls=server_context(ca, "localhost")) as server:
        endpoint = server.endpoint(base_url=url(server), ca_file=path)
        with pytest.raises(Unreachable, match="not accepted"):
            await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()
        ca.cert_pem.write_to_path(str(path))
        assert await (await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()).read() == b"ok"


async def test_a_server_without_tls_is_told(pool: Pool) -> None:
    async def handler(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async with RawServer(handler) as server:
        endpoint = server.endpoint(base_url=url(server))
        with pytest.raises(Unreachable, match="TLS handshake failed"):
            await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()
        await server.all_gone()


async def test_tls_streams_large_bodies_both_ways_and_notices_cuts(pool: Pool, ca: trustme.CA, ca_file: Path) -> None:
    body = bytes(range(256)) * 16_384  # 4 MiB

    async def handler(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        await peer.send(answer(request.body))
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        peer.abort()

    async with RawServer(handler, tls=server_context(ca, "localhost")) as server:
        endpoint = server.endpoint(base_url=url(server), ca_file=ca_file)
        response = await pool.start(endpoint, b"POST", b"/", b"", body).response()
        received = bytearray()
        while chunk := await response.next_chunk():
            received += chunk
        assert received == body
        call = pool.start(endpoint, b"POST", b"/", b"", b"{}")
        with pytest.raises(ConnectionBroken):
            await (await call.response()).read()
        assert call.connection_reused


async def test_an_idle_tls_connection_closed_by_the_server_is_replaced(
    pool: Pool, ca: trustme.CA, ca_file: Path
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)

    async with RawServer(handler, tls=server_context(ca, "localhost")) as server:
        endpoint = server.endpoint(base_url=url(server), ca_file=ca_file)
        for _ in range(3):
            assert await (await pool.start(endpoint, b"POST", b"/", b"", b"{}").response()).read() == b"ok"
            await eventually(lambda: pool.stats().open == 0)


async def test_a_handshake_that_is_given_up_leaves_nothing(ca: trustme.CA) -> None:
    pool = Pool()
    async with RawServer(Peer.gone) as server:
        endpoint = server.endpoint(base_url=url(server), timeouts=quick(connect_s=3600))
        call = pool.start(endpoint, b"POST", b"/", b"", b"{}")
        await server.until(lambda seen: seen.accepted == 1)
        call.abort()
        await pool.close()
        await server.all_gone()


async def test_a_name_that_does_not_resolve(pool: Pool) -> None:
    async with RawServer() as server:
        for host in ("no-such-host.invalid", "x" * 70 + ".invalid"):
            with pytest.raises(Unreachable, match=r"invalid:80: (the name does not resolve|no valid host name)"):
                await pool.start(server.endpoint(base_url=f"http://{host}"), b"GET", b"/", b"", b"").response()


async def test_contexts_are_loaded_once(pool: Pool, ca: trustme.CA, ca_file: Path) -> None:
    async with RawServer(tls=server_context(ca, "localhost")) as server:
        endpoint = server.endpoint(base_url=url(server), ca_file=ca_file)
        calls = [pool.start(endpoint, b"POST", b"/", b"", b"{}") for _ in range(4)]
        await asyncio.gather(*(call.response() for call in calls))
        await server.until(lambda seen: seen.accepted == 4)
        assert len(pool._contexts._contexts) == 1
