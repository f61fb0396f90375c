"""Opening a connection: TCP, the proxy's tunnel, TLS; every failure told as `Unreachable`."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl

from gateway.config.proxies import Proxy, parse_proxy
from gateway.upstream.connection import Connection
from gateway.upstream.dial import dial
from gateway.upstream.proxy import TunnelHandshake
from gateway.upstream.target import Destination
from gateway.upstream.tls import TlsContexts
from gateway.upstream.transport import Unreachable


async def open_connection(destination: Destination, contexts: TlsContexts, connection: Connection) -> None:
    """Connect `connection` to its destination, through the proxy if there is one. Raises Unreachable."""
    loop = asyncio.get_running_loop()
    key, origin = destination, destination.origin
    proxy = parse_proxy(key.proxy) if key.proxy is not None else None
    where = f"proxy {proxy.host}:{proxy.port}" if proxy is not None else origin
    context = await contexts.get(key.ca_file, verify=key.verify_tls) if key.scheme == "https" else None
    try:
        sock = await dial(loop, proxy.host if proxy else key.host, proxy.port if proxy else key.port)
        if context is None:
            await _adopt(loop, sock, connection)
        elif proxy is None:
            await loop.create_connection(lambda: connection, sock=sock, ssl=context, server_hostname=key.host)
        else:
            await _tunnel(key, proxy, context, sock, connection)
    except ssl.SSLCertVerificationError as error:
        message = f"{origin}: its TLS certificate is not accepted: {error.verify_message}"
        raise Unreachable(message, sent=False) from error
    except ssl.SSLError as error:
        raise Unreachable(f"{origin}: the TLS handshake failed: {error.reason}", sent=False) from error
    except socket.gaierror as error:
        raise Unreachable(f"{where}: the name does not resolve: {error.strerror}", sent=False) from error
    except OSError as error:
        # asyncio puts the address into strerror; the number says what happened.
        problem = os.strerror(error.errno) if error.errno else type(error).__name__
        raise Unreachable(f"{where}: cannot connect: {problem}", sent=False) from error
    except UnicodeError as error:
        raise Unreachable(f"{where}: no valid host name", sent=False) from error


async def _adopt(loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.Protocol) -> asyncio.Transport:
    """Let the loop serve a connected socket."""
    try:
        transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
    except BaseException:  # cancellation too: the socket has no other owner
        sock.close()
        raise
    return transport


async def _tunnel(
    destination: Destination, proxy: Proxy, context: ssl.SSLContext, sock: socket.socket, connection: Connection
) -> None:
    loop = asyncio.get_running_loop()
    handshake = TunnelHandshake(loop, proxy, destination.origin)
    transport = await _adopt(loop, sock, handshake)
    try:
        await handshake.established()
        secured = await loop.start_tls(transport, connection, context, server_hostname=destination.host)
    except BaseException:  # cancellation too
        transport.abort()
        raise
    if secured is None:
        raise ConnectionAbortedError
    # start_tls changes the protocol without telling it.
    connection.connection_made(secured)
